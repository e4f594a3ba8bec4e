"""What every part of the benchmark uses: text that is safe to show, files, SQLite."""
