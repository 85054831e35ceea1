"""The classic module `BertNextSentencePrediction`, named like its class."""

from mechscope.model.next_sentence import BertNextSentencePrediction

__all__ = ["BertNextSentencePrediction"]
