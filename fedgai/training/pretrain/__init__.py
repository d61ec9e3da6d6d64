"""The house: how the built-in weights are trained, from garment photographs and virtual designers alone.

    python -m fedgai.training.pretrain --photos PHOTOS_DIR --work WORK_DIR --out weights

1. Draw: every photograph is cut out and studied once, then thousands of random hands (and the eight named ones) draw it.
2. Encoder: taught to see in photographs what a person who draws sees, and to tell hands apart by their statistics; then frozen.
3. Generator: learns to draw any photograph from any signature, pair by pair.
4. Adversarial: Discriminator and Generator against each other with the paper's losses, and on blends of signatures, for
   which no pair exists.

Each stage is seeded and resumes from WORK_DIR. All that is read back was written by this command itself. On a processor the
same command gives the same bytes; with ``--device cuda`` sums are added in another order each time, and the weights are alike.
"""
