"""Options of runs of a few steps, which tests of the command line train."""

SMALL = ["--preset", "smoke", "--epochs", "3", "--batches-per-epoch", "2", "--batch-size", "8", "--hidden-size", "8"]
SMALL += ["--dense-epochs", "0", "--tail-epochs", "1", "--evaluation-batches", "2", "--quiet"]
TORUS = ["--manifold", "torus", "--learn", "--sparsity", "0.5"]
