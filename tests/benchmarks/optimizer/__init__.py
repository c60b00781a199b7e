"""What `srft_galore` costs and catches, next to AdamW and other people's GaLore.

    python -m tests.benchmarks.optimizer capture --out DIR [--preset hiera_l]
    python -m tests.benchmarks.optimizer measure [--gradients DIR] [--json FILE] [--device cuda]

`capture` saves gradients of our own systems; `measure` prints tables. `measure` needs torch and
srft_galore alone; other optimizers take part where they are installed, and real gradients where
safetensors is. From a checkout without installation: `PYTHONPATH=model`.
"""
