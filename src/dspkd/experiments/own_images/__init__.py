"""From a folder of images to a student: look at the data, choose settings, write recipes, and run everything."""
