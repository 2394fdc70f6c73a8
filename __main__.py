"""`python -m dragoman` is the same command as `dragoman`."""

from .cli.main import main

main()
