"""The programs that pods run: engines and trainers, one entry each."""
