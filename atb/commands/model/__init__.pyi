from . import (
    evaluate as evaluate,
    export as export,
    extract as extract,
    finetune as finetune,
    import_model as import_model,
    train as train,
)
