# Starts bootstrap.py with any Python from 3.8 on; it looks for a fitting one by itself.
foreach ($program in "py", "python3", "python") {
    if (-not (Get-Command $program -ErrorAction SilentlyContinue)) { continue }
    # Windows has a python.exe that only opens the Store, so each is asked.
    & $program -c "import sys; sys.exit(sys.version_info < (3, 8))" 2>$null
    if ($LASTEXITCODE -eq 0) {
        & $program (Join-Path $PSScriptRoot "bootstrap.py") @args
        exit $LASTEXITCODE
    }
}
[Console]::Error.WriteLine("No Python 3 was found. Install one: winget install Python.Python.3.13")
exit 1
