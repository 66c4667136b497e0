"""The stages `encode` and `pretrain`: locked encoder parts run once, and one pretraining for each combination."""
