"""Files that corrections come from and go to: TMX, XLIFF, JSONL, TSV. Knows formats; knows no database."""
