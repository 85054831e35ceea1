"""The models that have a name: name, repository on the Hugging Face hub, other names.

Plain text, read by `registry`. Any other repository of a supported family loads by its own id.
"""

TABLE = """
# GPT-2 and its replications
gpt2                     openai-community/gpt2                   gpt2-small
gpt2-medium              openai-community/gpt2-medium
gpt2-large               openai-community/gpt2-large
gpt2-xl                  openai-community/gpt2-xl
distilgpt2               distilbert/distilgpt2                   distil-gpt2 distill-gpt2 distillgpt2 gpt2-xs
stanford-gpt2-small-a    stanford-crfm/alias-gpt2-small-x21      gpt2-stanford-small-a gpt2-mistral-small-a
stanford-gpt2-small-b    stanford-crfm/battlestar-gpt2-small-x49 gpt2-mistral-small-b
stanford-gpt2-small-c    stanford-crfm/caprica-gpt2-small-x81    gpt2-stanford-small-c gpt2-mistral-small-c
stanford-gpt2-small-d    stanford-crfm/darkmatter-gpt2-small-x343 gpt2-mistral-small-d
stanford-gpt2-small-e    stanford-crfm/expanse-gpt2-small-x777   gpt2-mistral-small-e
stanford-gpt2-medium-a   stanford-crfm/arwen-gpt2-medium-x21     gpt2-stanford-medium-a gpt2-medium-small-a
stanford-gpt2-medium-b   stanford-crfm/beren-gpt2-medium-x49     gpt2-stanford-medium-b gpt2-medium-small-b
stanford-gpt2-medium-c   stanford-crfm/celebrimbor-gpt2-medium-x81 gpt2-medium-small-c
stanford-gpt2-medium-d   stanford-crfm/durin-gpt2-medium-x343    gpt2-stanford-medium-d gpt2-medium-small-d
stanford-gpt2-medium-e   stanford-crfm/eowyn-gpt2-medium-x777    gpt2-stanford-medium-e gpt2-medium-small-e

# GPT-Neo, GPT-J, GPT-NeoX
gpt-neo-125m             EleutherAI/gpt-neo-125m                 gpt-neo-small neo-small neo
gpt-neo-1.3b             EleutherAI/gpt-neo-1.3B                 gpt-neo-medium neo-medium
gpt-neo-2.7b             EleutherAI/gpt-neo-2.7B                 gpt-neo-large neo-large
gpt-j-6b                 EleutherAI/gpt-j-6b                     gpt-j gptj
gpt-neox-20b             EleutherAI/gpt-neox-20b                 gpt-neox neox

# TinyStories (GPT-Neo's architecture)
tiny-stories-1m          roneneldan/TinyStories-1M
tiny-stories-3m          roneneldan/TinyStories-3M
tiny-stories-8m          roneneldan/TinyStories-8M
tiny-stories-28m         roneneldan/TinyStories-28M
tiny-stories-33m         roneneldan/TinyStories-33M
tiny-stories-1l-21m      roneneldan/TinyStories-1Layer-21M
tiny-stories-2l-33m      roneneldan/TinyStories-2Layers-33M
tiny-stories-instruct-1m roneneldan/TinyStories-Instruct-1M
tiny-stories-instruct-3m roneneldan/TinyStories-Instruct-3M
tiny-stories-instruct-8m roneneldan/TinyStories-Instruct-8M
tiny-stories-instruct-28m roneneldan/TinyStories-Instruct-28M
tiny-stories-instruct-33m roneneldan/TinyStories-Instruct-33M
tiny-stories-instruct-1l-21m roneneldan/TinyStories-Instuct-1Layer-21M
tiny-stories-instruct-2l-33m roneneldan/TinyStories-Instruct-2Layers-33M

# Pythia; the second name in a row is the one it had before its parameters were counted anew
pythia-14m               EleutherAI/pythia-14m
pythia-31m               EleutherAI/pythia-31m
pythia-70m               EleutherAI/pythia-70m                   pythia-19m pythia
pythia-160m              EleutherAI/pythia-160m                  pythia-125m
pythia-410m              EleutherAI/pythia-410m                  pythia-350m
pythia-1b                EleutherAI/pythia-1b                    pythia-800m
pythia-1.4b              EleutherAI/pythia-1.4b                  pythia-1.3b
pythia-2.8b              EleutherAI/pythia-2.8b                  pythia-2.7b
pythia-6.9b              EleutherAI/pythia-6.9b                  pythia-6.7b
pythia-12b               EleutherAI/pythia-12b                   pythia-13b
pythia-70m-deduped       EleutherAI/pythia-70m-deduped           pythia-19m-deduped
pythia-160m-deduped      EleutherAI/pythia-160m-deduped          pythia-125m-deduped
pythia-410m-deduped      EleutherAI/pythia-410m-deduped          pythia-350m-deduped
pythia-1b-deduped        EleutherAI/pythia-1b-deduped            pythia-800m-deduped
pythia-1.4b-deduped      EleutherAI/pythia-1.4b-deduped          pythia-1.3b-deduped
pythia-2.8b-deduped      EleutherAI/pythia-2.8b-deduped          pythia-2.7b-deduped
pythia-6.9b-deduped      EleutherAI/pythia-6.9b-deduped          pythia-6.7b-deduped
pythia-12b-deduped       EleutherAI/pythia-12b-deduped           pythia-13b-deduped
pythia-160m-seed1        EleutherAI/pythia-160m-seed1            pythia-125m-seed1
pythia-160m-seed2        EleutherAI/pythia-160m-seed2            pythia-125m-seed2
pythia-160m-seed3        EleutherAI/pythia-160m-seed3            pythia-125m-seed3

# The field's toy models, trained on web text and code
attn-only-1l             NeelNanda/Attn_Only_1L512W_C4_Code      attn-only-1l-new attn-only-1l-c4-code
attn-only-2l             NeelNanda/Attn_Only_2L512W_C4_Code      attn-only-2l-new attn-only-2l-c4-code
attn-only-3l             NeelNanda/Attn_Only_3L512W_C4_Code      attn-only-3l-new attn-only-3l-c4-code
attn-only-4l             NeelNanda/Attn_Only_4L512W_C4_Code      attn-only-4l-new attn-only-4l-c4-code
attn-only-2l-demo        NeelNanda/Attn-Only-2L512W-Shortformer-6B-big-lr attn-only-demo attn-only-2l-induction-demo
gelu-1l                  NeelNanda/GELU_1L512W_C4_Code           gelu-1l-new gelu-1l-c4-code
gelu-2l                  NeelNanda/GELU_2L512W_C4_Code           gelu-2l-new gelu-2l-c4-code
gelu-3l                  NeelNanda/GELU_3L512W_C4_Code           gelu-3l-new gelu-3l-c4-code
gelu-4l                  NeelNanda/GELU_4L512W_C4_Code           gelu-4l-new gelu-4l-c4-code
solu-1l                  NeelNanda/SoLU_1L512W_C4_Code           solu-1l-new solu-1l-c4-code
solu-2l                  NeelNanda/SoLU_2L512W_C4_Code           solu-2l-new solu-2l-c4-code
solu-3l                  NeelNanda/SoLU_3L512W_C4_Code           solu-3l-new solu-3l-c4-code
solu-4l                  NeelNanda/SoLU_4L512W_C4_Code           solu-4l-new solu-4l-c4-code
solu-6l                  NeelNanda/SoLU_6L768W_C4_Code           solu-6l-new solu-6l-c4-code
solu-8l                  NeelNanda/SoLU_8L1024W_C4_Code          solu-8l-new solu-8l-c4-code
solu-10l                 NeelNanda/SoLU_10L1280W_C4_Code         solu-10l-new solu-10l-c4-code
solu-12l                 NeelNanda/SoLU_12L1536W_C4_Code         solu-12l-new solu-12l-c4-code
solu-1l-wiki             NeelNanda/SoLU_1L512W_Wiki_Finetune     solu-1l-wiki-finetune solu-1l-finetune
solu-4l-wiki             NeelNanda/SoLU_4L512W_Wiki_Finetune     solu-4l-wiki-finetune solu-4l-finetune

# OPT and BLOOM
opt-125m                 facebook/opt-125m                       opt-small opt
opt-1.3b                 facebook/opt-1.3b                       opt-medium
opt-2.7b                 facebook/opt-2.7b                       opt-large
opt-6.7b                 facebook/opt-6.7b                       opt-xl
opt-13b                  facebook/opt-13b                        opt-xxl
opt-30b                  facebook/opt-30b                        opt-xxxl
opt-66b                  facebook/opt-66b                        opt-xxxxl
bloom-560m               bigscience/bloom-560m
bloom-1b1                bigscience/bloom-1b1
bloom-1b7                bigscience/bloom-1b7
bloom-3b                 bigscience/bloom-3b
bloom-7b1                bigscience/bloom-7b1

# Llama and Mistral
llama-2-7b               meta-llama/Llama-2-7b-hf
llama-2-7b-chat          meta-llama/Llama-2-7b-chat-hf
llama-2-13b              meta-llama/Llama-2-13b-hf
llama-2-13b-chat         meta-llama/Llama-2-13b-chat-hf
llama-2-70b-chat         meta-llama/Llama-2-70b-chat-hf meta-llama-2-70b-chat-hf
llama-3-8b               meta-llama/Meta-Llama-3-8B              meta-llama-3-8b
llama-3-8b-instruct      meta-llama/Meta-Llama-3-8B-Instruct     meta-llama-3-8b-instruct
llama-3-70b              meta-llama/Meta-Llama-3-70B             meta-llama-3-70b
llama-3.1-8b             meta-llama/Llama-3.1-8B
llama-3.1-8b-instruct    meta-llama/Llama-3.1-8B-Instruct
llama-3.1-70b            meta-llama/Llama-3.1-70B
llama-3.2-1b             meta-llama/Llama-3.2-1B
llama-3.2-1b-instruct    meta-llama/Llama-3.2-1B-Instruct
llama-3.2-3b             meta-llama/Llama-3.2-3B
llama-3.2-3b-instruct    meta-llama/Llama-3.2-3B-Instruct
llama-3.3-70b-instruct   meta-llama/Llama-3.3-70B-Instruct
mistral-7b               mistralai/Mistral-7B-v0.1
mistral-7b-instruct      mistralai/Mistral-7B-Instruct-v0.1
mistral-nemo-base-2407   mistralai/Mistral-Nemo-Base-2407

# Qwen
qwen1.5-0.5b             Qwen/Qwen1.5-0.5B
qwen1.5-1.8b             Qwen/Qwen1.5-1.8B
qwen1.5-4b               Qwen/Qwen1.5-4B
qwen1.5-7b               Qwen/Qwen1.5-7B
qwen2-0.5b               Qwen/Qwen2-0.5B
qwen2-0.5b-instruct      Qwen/Qwen2-0.5B-Instruct
qwen2-1.5b               Qwen/Qwen2-1.5B
qwen2-1.5b-instruct      Qwen/Qwen2-1.5B-Instruct
qwen2-7b                 Qwen/Qwen2-7B
qwen2-7b-instruct        Qwen/Qwen2-7B-Instruct
qwen2.5-0.5b             Qwen/Qwen2.5-0.5B
qwen2.5-0.5b-instruct    Qwen/Qwen2.5-0.5B-Instruct
qwen2.5-1.5b             Qwen/Qwen2.5-1.5B
qwen2.5-1.5b-instruct    Qwen/Qwen2.5-1.5B-Instruct
qwen2.5-3b               Qwen/Qwen2.5-3B
qwen2.5-3b-instruct      Qwen/Qwen2.5-3B-Instruct
qwen2.5-7b               Qwen/Qwen2.5-7B
qwen2.5-7b-instruct      Qwen/Qwen2.5-7B-Instruct
qwen2.5-14b              Qwen/Qwen2.5-14B
qwen3-0.6b               Qwen/Qwen3-0.6B
qwen3-0.6b-base          Qwen/Qwen3-0.6B-Base
qwen3-1.7b               Qwen/Qwen3-1.7B
qwen3-4b                 Qwen/Qwen3-4B
qwen3-8b                 Qwen/Qwen3-8B
qwen3-14b                Qwen/Qwen3-14B

# Gemma
gemma-2b                 google/gemma-2b
gemma-2b-it              google/gemma-2b-it
gemma-7b                 google/gemma-7b
gemma-7b-it              google/gemma-7b-it
gemma-2-2b               google/gemma-2-2b
gemma-2-2b-it            google/gemma-2-2b-it
gemma-2-9b               google/gemma-2-9b
gemma-2-9b-it            google/gemma-2-9b-it
gemma-2-27b              google/gemma-2-27b
gemma-2-27b-it           google/gemma-2-27b-it
gemma-3-270m             google/gemma-3-270m
gemma-3-270m-it          google/gemma-3-270m-it
gemma-3-1b-pt            google/gemma-3-1b-pt
gemma-3-1b-it            google/gemma-3-1b-it
gemma-3-4b-pt            google/gemma-3-4b-pt
gemma-3-4b-it            google/gemma-3-4b-it
gemma-3-12b-pt           google/gemma-3-12b-pt
gemma-3-12b-it           google/gemma-3-12b-it

# Phi and OLMo
phi-1                    microsoft/phi-1
phi-1_5                  microsoft/phi-1_5                       phi-1.5
phi-2                    microsoft/phi-2
phi-3                    microsoft/Phi-3-mini-4k-instruct        phi-3-mini-4k-instruct
phi-4                    microsoft/phi-4
olmo-2-1b                allenai/OLMo-2-0425-1B                  olmo-2-0425-1b
olmo-2-7b                allenai/OLMo-2-1124-7B                  olmo-2-1124-7b
olmo-2-13b               allenai/OLMo-2-1124-13B                 olmo-2-1124-13b

# Encoders
bert-base-uncased        google-bert/bert-base-uncased
bert-base-cased          google-bert/bert-base-cased
bert-large-uncased       google-bert/bert-large-uncased
bert-large-cased         google-bert/bert-large-cased
all-minilm-l6-v2         sentence-transformers/all-MiniLM-L6-v2
"""
