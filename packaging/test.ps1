# Every check and all tests: sets up what is missing, then ruff, mypy and pytest, which gets the given arguments.
& "$PSScriptRoot\python.ps1" test @args
exit $LASTEXITCODE
