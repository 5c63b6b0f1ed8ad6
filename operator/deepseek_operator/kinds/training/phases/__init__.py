"""The phases of a training's life: each says what it decides, or None when it has nothing to say."""
