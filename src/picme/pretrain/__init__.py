"""The stages `encode` and `pretrain`: locked encoder parts run once; a pretraining for each combination, or for all."""
