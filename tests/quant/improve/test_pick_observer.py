"""Observers are tried on the very graph that the target's folder will hold."""

from dataclasses import replace

import onnx_ir as ir

from quant.choose.planner import Planner
from quant.compare.float_reference import FloatReference
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session
from quant.improve.pick_observer import pick_observer
from quant.plan.tensor_plans import Plan
from quant.simulate.open_plan import simulation_of
from quant.target.table import TARGETS
from tests.chosen import batch_of, inputs, prepared, profiled
from tests.models import conv_relu_net


def test_every_candidate_is_simulated_as_its_target_writes_it() -> None:
    """Atlas was once judged on quantizers that it does not ship."""
    atlas = TARGETS["atlas"]
    simulated: list[Plan] = []

    def simulate(graph: Graph, plan: Plan) -> ir.Model:
        simulated.append(plan)
        return simulation_of(graph, plan, atlas)

    graph = prepared(conv_relu_net())
    feeds = inputs(graph, samples=8)
    reference = FloatReference(
        session=open_session(graph.model, threads=1), batches=[batch_of(feeds, 8)], threads=1
    )
    planner = Planner(target=replace(atlas, simulate=simulate))
    trial = pick_observer(planner, graph, profiled(graph, feeds), reference)

    assert len(simulated) == len(trial.sqnr_db) >= 3
    assert trial.best in trial.sqnr_db
