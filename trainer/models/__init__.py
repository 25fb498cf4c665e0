"""The networks: ours (`bepnet`) and those of timm."""
