"""What `srft_galore` costs and catches, next to AdamW and other people's GaLore.

    python -m tests.benchmarks.optimizer capture --out DIR [--preset hiera_l]
    python -m tests.benchmarks.optimizer measure [--gradients DIR] [--json FILE] [--device cuda]
    python -m tests.benchmarks.optimizer quality --file FILE [--workers 16] [--minutes 9]

`capture` saves gradients of our own systems; `measure` prints tables of costs and of what bases
catch; `quality` trains small models with every optimizer at its own best rate. `measure` needs
torch and srft_galore alone, `quality` segtune too for its tables (`--no-tables`); other optimizers
take part where they are installed, and real gradients where safetensors is. From a checkout without
installation: `PYTHONPATH=model:platform`.
"""
