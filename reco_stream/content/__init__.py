"""Content: items as vectors of their texts, and the items nearest to some others.

encoder     what an encoder is
hashed      the default: n-grams of the catalogue itself, nothing to download
minilm      sentence-transformers/all-MiniLM-L6-v2, where it is installed
vectors     all vectors in a memory-mapped file, and the annoy index over them
model       keeps all of it in step with the catalogue
fit, build  the encoder and the index, made in processes of their own (processes)
"""
