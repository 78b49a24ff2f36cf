"""Soft thresholding against magnitude pruning: the adding problem, `cpu` preset, hidden matrix 95 % sparse, five seeds.

"proximal" arms prune nothing: the zeros of their hidden matrix are what the penalty's threshold leaves, which depends
on the strength. "both" shrinks and prunes. The other tensors of a proximal run stay dense, so that magnitude pruning is
compared on the hidden matrix alone.

python -m benchmarks.proximal [THREADS]    # run what is missing on so many threads (2), then print the table
python -m benchmarks.proximal --table      # print the table of the committed records
"""
