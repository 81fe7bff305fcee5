"""The benchmarks of Caster: `run.py` in the folder above starts them."""
