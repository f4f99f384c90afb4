from . import evaluate as evaluate, init as init, train as train
