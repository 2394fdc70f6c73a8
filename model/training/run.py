"""A whole training: from a config to a checkpoint. Knows all parts of a run; prints nothing itself.

Progress goes to a callback as `TrainReport` values, so that the command line and tests see the same run.
"""

import itertools
import random
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import safetensors.torch
import torch

from ...errors import ConfigurationError
from ..checkpoint import check_replaceable
from ..corpora.cleaning import CleaningRules
from ..corpora.corpus_file import CorpusFile
from ..corpora.stream import PairStream
from ..memory import keep_freed_memory
from ..shortlist import Shortlist
from ..threads import threads_for_layers
from ..vocabularies.vocabulary import Vocabulary
from .config import TrainConfig, resolve
from .data import BatchOptions, BatchStream
from .development import read_dev_sets
from .distributed import Processes, processes
from .lexicon_filling import fill_lexicon
from .loop import Plan, TrainingInterruptedError, TrainingLoop, Watch
from .reports import Listener, RunFiles, TrainReport
from .resuming import (
    beginning_of,
    check_same_circumstances,
    check_same_config,
    unchanging_state,
    vocabulary_from,
    vocabulary_tensors,
)
from .shipping import Goods, Shipping
from .shortlisting import ShortlistOptions, encoded_sample, learn_shortlist
from .starting import Beginning, begin, learn_vocabulary
from .state import STATE, State, has_state, load_state
from .trainer import Trainer

# Lines that a vocabulary is learned from; more of them change it little and take long.
MAX_VOCABULARY_LINES = 2_000_000


def train(config: TrainConfig, folder: Path, listener: Listener, run_folder: Path | None = None) -> Path:
    """Run a training as configured and return the checkpoint folder.

    Paths of the config are relative to `folder`; `run_folder` (default: runs/NAME in the working directory) takes
    state, metrics and curve. What can be refused is refused before the first step, with `ConfigurationError`; a run
    that is asked to stop raises `TrainingInterruptedError` when its state is saved.
    """
    run_folder = run_folder or default_run_folder(config)
    if has_state(run_folder):
        raise ConfigurationError(
            f"{run_folder} holds the state of a run: go on with it by --resume, or name another --run-folder "
            f"(or remove {run_folder / STATE})"
        )
    return _train(_Task(config, folder, run_folder, None), listener)


def resume(config: TrainConfig, folder: Path, listener: Listener, run_folder: Path | None = None) -> Path:
    """Go on with a run that was interrupted, killed or given a later limit, from its last state.

    Raises `ConfigurationError` if there is none, or if the config or the corpus has changed.
    """
    run_folder = run_folder or default_run_folder(config)
    state = load_state(run_folder)
    check_same_config(state, config)
    return _train(_Task(config, folder, run_folder, state), listener)


def default_run_folder(config: TrainConfig) -> Path:
    """Where a run keeps its state if it is not told."""
    return Path("runs") / config.name


def corpus_stream(config: TrainConfig, folder: Path) -> PairStream:
    """The corpora of a config, cleaned as it says."""
    data = config.data
    files = [
        CorpusFile(resolve(file.path, folder), file.languages, file.weight, file.direction) for file in data.corpora
    ]
    rules = CleaningRules(
        max_characters=data.max_characters,
        max_length_ratio=data.max_length_ratio,
        min_letter_share=data.min_letter_share,
        min_script_share=data.min_script_share,
        duplicates=data.duplicates,
    )
    return PairStream(files, config.directions, rules, config.run.seed)


@dataclass(frozen=True, slots=True)
class _Task:
    """One call of `train` or `resume`: where its files are, and the state it goes on from, if it does."""

    config: TrainConfig
    folder: Path
    run_folder: Path
    state: State | None


def _train(task: _Task, listener: Listener) -> Path:
    config = task.config
    keep_freed_memory()
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    output = resolve(config.output, task.folder)
    check_replaceable(output)
    dev_sets = read_dev_sets(config, task.folder)
    stream = corpus_stream(config, task.folder)
    with processes(config.run.device) as group:
        beginning = _beginning(task, stream, group)
        fill_lexicon(beginning.network, partial(encoded_sample, stream, beginning.vocabulary))
        trainer = Trainer(beginning.network, config, group)
        loop = TrainingLoop(_plan(task, stream, beginning, group), trainer)
        if task.state:
            loop.restore(task.state)
        learn = partial(_learned_shortlist, config, stream, beginning.vocabulary)
        goods = Goods(beginning.vocabulary, tuple(stream.report.lines()), learn, output)
        with threads_for_layers() if beginning.network.has_compiled_layers else nullcontext():
            _go(loop, Shipping(config, trainer, dev_sets, goods), listener)
    return output


def _beginning(task: _Task, stream: PairStream, group: Processes) -> Beginning:
    """Network and vocabulary, the same in all processes; random numbers differ from here on."""
    if task.state:
        check_same_circumstances(task.state, stream.fingerprint, group)
        return beginning_of(task.state)
    torch.manual_seed(task.config.run.seed)
    beginning = begin(task.config, task.folder, lambda: _learned_vocabulary(task.config, stream, group))
    torch.manual_seed(task.config.run.seed + group.rank)
    random.seed(task.config.run.seed + group.rank)
    return beginning


def _learned_vocabulary(config: TrainConfig, stream: PairStream, group: Processes) -> Vocabulary:
    """Learned by the first process, for all."""
    learned = vocabulary_tensors(learn_vocabulary(config, _lines(stream))) if group.leads else {}
    return vocabulary_from(safetensors.torch.load(group.from_leader(safetensors.torch.save(learned))))


def _learned_shortlist(config: TrainConfig, stream: PairStream, vocabulary: Vocabulary) -> Shortlist | None:
    if not config.shortlist.is_wanted(len(vocabulary)):
        return None
    return learn_shortlist(stream, vocabulary, ShortlistOptions(config.shortlist.best, config.shortlist.frequent))


def _lines(stream: PairStream) -> Iterator[str]:
    """Each text of the corpus once for each pair that it stands in."""
    texts = (text for pair in stream.epoch(0) for text in (pair.source, pair.target))
    return itertools.islice(texts, MAX_VOCABULARY_LINES)


def _plan(task: _Task, stream: PairStream, beginning: Beginning, group: Processes) -> Plan:
    config = task.config
    options = BatchOptions(
        batch_tokens=config.run.batch_tokens,
        max_pieces=config.data.max_pieces,
        pool_pairs=config.data.pool_pairs,
        sampling_alpha=config.vocabulary.sampling_alpha,
        seed=config.run.seed,
        rank=group.rank,
        world_size=group.count,
    )
    data = BatchStream(stream, beginning.vocabulary, options)
    return Plan(config, data, task.run_folder, unchanging_state(config, beginning, stream.fingerprint))


def _go(loop: TrainingLoop, shipping: Shipping, listener: Listener) -> None:
    """Train, and let the first process measure and ship."""
    shipping.check()
    if not loop.leads:
        loop.run(None)
        return
    files = RunFiles(loop.run_folder, loop.trainer.step)

    def tell(report: TrainReport) -> None:
        files(report)
        listener(report)

    try:
        loop.run(Watch(shipping.measure_samples, lambda found: shipping.save(found, loop.summary), tell))
        _finish(loop, shipping, tell)
    finally:
        files.close()


def _finish(loop: TrainingLoop, shipping: Shipping, listener: Listener) -> None:
    try:
        qualities = shipping.measure_all()
    except KeyboardInterrupt:
        raise TrainingInterruptedError(
            f"interrupted after the last step, while the result was measured; the state is saved in {loop.run_folder}",
            loop.run_folder,
        ) from None
    shipping.save(qualities, loop.summary)
    listener(loop.report(qualities))
