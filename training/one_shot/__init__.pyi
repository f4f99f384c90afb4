from .agreement import Agreement as Agreement, AgreementScorer as AgreementScorer
from .evaluation import (
    ROUGH_EVERY as ROUGH_EVERY,
    HeldOut as HeldOut,
    check_scoring as check_scoring,
    held_out_text as held_out_text,
    one_thread as one_thread,
)
from .further import space_of as space_of, train_further as train_further
from .improvement import (
    check_sentences as check_sentences,
    improve as improve,
    slice_alone as slice_alone,
)
from .objective_factory import objective_of as objective_of, open_text as open_text
from .scoring_teacher import score_teacher as score_teacher
from .starting_point import initialise as initialise
from .trainer import Progress as Progress, train_superplm as train_superplm
