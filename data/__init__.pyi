from .text_model import EncoderConfig as EncoderConfig, TextModel as TextModel
