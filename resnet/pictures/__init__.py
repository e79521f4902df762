"""What a person looks at: curves, matrices, grids and the report page."""
