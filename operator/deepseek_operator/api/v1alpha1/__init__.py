"""The v1alpha1 contract: `DeepSeekTraining` and `DeepSeekServing`."""
