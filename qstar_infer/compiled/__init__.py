"""Small C libraries that a machine with a C compiler builds at the first start, and keeps."""
