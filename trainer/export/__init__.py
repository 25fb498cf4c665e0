"""A finished run as files for other programs: ONNX, `torch.export`, and a folder as the Hugging Face hub has them.

Reading such a folder back belongs to `trainer.inference`, which every command goes through.
"""
