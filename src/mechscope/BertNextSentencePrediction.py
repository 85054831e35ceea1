"""The classic module `BertNextSentencePrediction`, whose name is also that of its class."""

from mechscope.model.next_sentence import BertNextSentencePrediction

__all__ = ["BertNextSentencePrediction"]
