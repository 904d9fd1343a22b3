"""From a place to pixels: the grid, the request, one file at a time, and the forms that the result takes."""
