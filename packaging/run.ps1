# The app from a checkout: sets up what is missing, then starts ollama-launcher with the given arguments.
& "$PSScriptRoot\python.ps1" run @args
exit $LASTEXITCODE
