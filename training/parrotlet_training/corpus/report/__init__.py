"""Looking inside a corpus: what it holds, what it lacks, one page to read."""
