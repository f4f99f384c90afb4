"""A campaign in a process of its own, for tests that kill it: `killable.py fake|local DATABASE`."""

import sys
import time
import zlib
from dataclasses import replace

import numpy as np
import sqlalchemy as sa

from atb.devices.fake import FakeDevice
from atb.devices.registry import find_device, find_runtime
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture
from atb.models.space import find_space
from atb.profiler import schema
from atb.profiler.campaign import run_campaign
from atb.profiler.database import ProfileDatabase
from atb.profiler.plan import Plan

TINY = tuple(Architecture(1, 128, 2, 128, 128 + 64 * wider) for wider in range(3))


class RepeatableDevice(FakeDevice):
    """Noise is a function of the architecture and of how many blocks of it are committed.

    So the n-th block has the same readings whether the process was killed before it or not.
    """

    def __init__(self, database, seconds):
        super().__init__(noise=0.02, preemption=0.05)
        self.database = database
        self.seconds = seconds

    def launch(self, runtime, settings):
        return RepeatableLaunch(self, super().launch(runtime, settings))

    def committed(self, key):
        table = schema.blocks
        query = sa.select(sa.func.count()).where(table.c.architecture == key)
        with self.database.engine.connect() as connection:
            return connection.execute(query).scalar()


class RepeatableLaunch:
    def __init__(self, device, launch):
        self.device, self.launch = device, launch

    def __enter__(self):
        self.launch.__enter__()
        return self

    def __exit__(self, *error):
        return self.launch.__exit__(*error)

    def load(self, key, artefact, **how):
        return self.launch.load(key, artefact, **how)

    def output(self, key):
        return self.launch.output(key)

    def run(self, key, *, iterations, warmup=0):
        time.sleep(self.device.seconds)  # so that the kills fall everywhere
        seed = [zlib.crc32(key.encode()), self.device.committed(key)]
        self.device.rng = np.random.default_rng(seed)
        return self.launch.run(key, iterations=iterations, warmup=warmup)


def main():
    kind, location, pace = sys.argv[1], sys.argv[2], float(sys.argv[3])
    with ProfileDatabase(location, create=True) as database:
        if kind == "fake":
            plan = Plan.sample(find_space("mini"), 6, within=0.005, blocks=3)
            device = RepeatableDevice(database, pace)
            device.failures[str(plan.subjects[2])] = "crash"
            runtime = device.runtimes["fake"]
        else:
            plan = replace(Plan(TINY), block_seconds=0.01, blocks=12)
            device = find_device("local")
            runtime = find_runtime(device, "onnxruntime")
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        run_campaign(device, runtime, RunSettings(), plan, database)


if __name__ == "__main__":
    main()
