from . import evaluate as evaluate, finetune as finetune, init as init, train as train
