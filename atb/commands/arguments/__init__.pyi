from . import completion as completion
from .groups import Options as Options, expand_options as expand_options, option as option
from .improvement import ImprovementOptions as ImprovementOptions
from .limits import (
    LimitOptions as LimitOptions,
    SearchLimitOptions as SearchLimitOptions,
    find_alternatives as find_alternatives,
    find_place as find_place,
    parse_limits as parse_limits,
    require_reach as require_reach,
)
from .options import (
    DEFAULT_CACHE as DEFAULT_CACHE,
    DEFAULT_DATABASE as DEFAULT_DATABASE,
    DEFAULT_PREDICTOR as DEFAULT_PREDICTOR,
    DEFAULT_SEARCH as DEFAULT_SEARCH,
    ArchitectureArgument as ArchitectureArgument,
    Bfloat16 as Bfloat16,
    CacheSize as CacheSize,
    CampaignName as CampaignName,
    Cased as Cased,
    Coverage as Coverage,
    Database as Database,
    DeviceName as DeviceName,
    Force as Force,
    HeldOutShards as HeldOutShards,
    Json as Json,
    MeasuringBudget as MeasuringBudget,
    ModelFolder as ModelFolder,
    OneCampaign as OneCampaign,
    OneDevice as OneDevice,
    Order as Order,
    Precision as Precision,
    PredictorFile as PredictorFile,
    PredictorOutput as PredictorOutput,
    RuntimeName as RuntimeName,
    ScoringTeacher as ScoringTeacher,
    Seed as Seed,
    SentencePairsFile as SentencePairsFile,
    SequenceLengthOfTask as SequenceLengthOfTask,
    SpaceName as SpaceName,
    SuperPLMArgument as SuperPLMArgument,
    SuperPLMFolder as SuperPLMFolder,
    SuperPLMOutput as SuperPLMOutput,
    TableFile as TableFile,
    TaskName as TaskName,
    TaskRows as TaskRows,
    Threads as Threads,
    TorchThreads as TorchThreads,
    VocabularyPath as VocabularyPath,
)
from .scoring import ScoringOptions as ScoringOptions
from .selection import (
    ConditionOptions as ConditionOptions,
    SelectionOptions as SelectionOptions,
    TableOptions as TableOptions,
    print_reading as print_reading,
    reject_conflicts as reject_conflicts,
    require_same_order as require_same_order,
    select_table as select_table,
    select_training_set as select_training_set,
    select_training_sets as select_training_sets,
)
from .spaces import held_by as held_by, on_grid as on_grid, print_held as print_held
from .sweep import (
    SweepOptions as SweepOptions,
    parse_list as parse_list,
)
from .target import (
    DEFAULT_PRECISION as DEFAULT_PRECISION,
    MeasuringTarget as MeasuringTarget,
    TargetOptions as TargetOptions,
    agreeing_conditions as agreeing_conditions,
    choose_precision as choose_precision,
    open_cache as open_cache,
    print_emulated as print_emulated,
)
from .training import (
    DistillationOptions as DistillationOptions,
    FineTuningOptions as FineTuningOptions,
    SubModelOptions as SubModelOptions,
    TrainingOptions as TrainingOptions,
    require_teacher as require_teacher,
    use_threads as use_threads,
)
