// plan: the groups of the point that was chosen, in the order of the network and by their error
const hue = (k, count) => `q${count < 2 ? 0 : Math.round((k / (count - 1)) * 4)}`;
const strip = (s, point, wide, tall, words) => {
  const total = s.groups.reduce((a, g) => a + g.macs, 0) || 1, count = s.precisions.length, least = Math.min(3, wide / s.groups.length);
  const room = wide - least * s.groups.length, winner = s.points.find((p) => p.chosen);
  const box = svg("svg", { viewBox: `0 0 ${wide} ${tall + 8}`, height: tall + 8, role: "img", "aria-label": words });
  let x = 0;
  s.groups.forEach((g, at) => {
    const k = point.a[at], width = least + (g.macs / total) * room, high = (tall * (k + 1)) / count;
    const bar = svg("rect", { x, y: tall - high, width, height: high, class: hue(k, count) });
    const say = `${safe(g.name)}\n${safe(s.precisions[k])}, ${percent(partOf(g.errors[k], point.error))} % of the error, ${percent(g.macs / total)} % of the MACs`;
    bar.addEventListener("mousemove", (e) => tip(say, e));
    bar.addEventListener("mouseleave", () => tip(""));
    box.append(bar);
    if (winner && winner.a[at] !== k) box.append(svg("path", { d: `M${x + width / 2 - 3} ${tall + 8}l3 -6l3 6Z`, class: "changed" }));
    x += width;
  });
  return box;
};
const partOf = (part, whole) => (part === null || !whole ? 0 : part / whole);

// groups, and tensors that several of them read: quantized once for each precision that has them
const planRows = (s, point) => {
  const groups = s.groups.map((g, at) => ({ group: g, at, ks: [point.a[at]], error: partOf(g.errors[point.a[at]], point.error), cost: partOf(g.costs[point.a[at]], point.cost) }));
  const tensors = s.between.map((t) => {
    const ks = [...new Set(t.groups.map((g) => point.a[g]))].sort((a, b) => a - b);
    return { tensor: t.tensor, ks, error: ks.reduce((a, k) => a + partOf(t.errors[k], point.error), 0), cost: 0 };
  }).filter((t) => t.error > 0);
  const left = (key) => 1 - [...groups, ...tensors].reduce((a, m) => a + m[key], 0);
  const rest = [["tensors between groups", left("error"), 0], [s.axis === "latency" ? "conversions, other layers" : "other layers", 0, left("cost")]];
  return [...groups, ...tensors, ...rest.filter(([, error, cost]) => Math.max(error, cost) > 5e-4).map(([title, error, cost]) => ({ title, ks: [], error, cost }))]
    .sort((a, b) => b.error - a.error || b.cost - a.cost);
};
const planRow = (s, winner, total) => (row) => {
  const { group: g, at } = row, more = g && g.layers.length > 1 ? ` + ${g.layers.length - 1}` : "", room = narrowScreen() ? 17 : 34;
  const name = !g ? (row.title ?? `tensor ${brief(row.tensor, room)}`) : g.at < 0 ? brief(g.name, room) + more : el("button", { type: "button", onclick: (e) => openLayer(g.at, e.currentTarget) }, brief(g.name, room) + more);
  const kinds = row.ks.flatMap((k, n) => [n ? " " : "", el("span", { class: `dot ${hue(k, s.precisions.length)}` }), safe(s.precisions[k])]);
  const other = winner && g ? (winner.a[at] === row.ks[0] ? "same" : safe(s.precisions[winner.a[at]])) : "";
  return el("tr", g ? {} : { class: "rest" }, el("td", { class: g && g.at >= 0 ? "layer" : "layer text plain", title: g ? g.layers.map(safe).join("\n") : safe(row.tensor ?? "") }, name), el("td", { class: "text" }, ...kinds),
    winner ? el("td", { class: other && other !== "same" ? "text differs" : "text" }, other) : null, el("td", {}, percent(row.error)), el("td", {}, g || row.cost ? percent(row.cost) : "–"), el("td", {}, g ? percent(g.macs / total) : "–"));
};
const planTable = (s, point, winner) => {
  const heads = [["group of layers", "the first + others", "layer text"], ["precision", "", "text"], winner ? ["in the chosen plan", "", "text"] : null, ["of the error", "% as predicted"], ["of the cost", `% of ${s.unit}`], ["of the MACs", "%"]].filter(Boolean);
  const total = s.groups.reduce((a, g) => a + g.macs, 0) || 1;
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Groups of the plan, by error" }, el("table", {},
    el("thead", {}, el("tr", {}, ...heads.map(([title, unit, kind]) => el("th", { scope: "col", class: kind ?? null }, title, unit ? el("small", {}, unit) : null)))),
    el("tbody", {}, ...planRows(s, point).map(planRow(s, winner, total)))));
};

const drawPlan = () => {
  const s = D.targets[picked.target].search, point = s.points.find((p) => p.n === picked.n), winner = s.points.find((p) => p.chosen), box = $("plan");
  const differ = winner ? point.a.filter((k, at) => k !== winner.a[at]).length : 0, wide = Math.max(240, box.clientWidth - 38);
  const tiles = [tile(`${fine(point.cost)} ${s.unit}`, `cost: ${AXES[s.axis] ?? s.axis}`), tile(sqnr(point.predicted), "predicted at the worst output"), tile(point.measured === null ? "not measured" : sqnr(point.measured), "measured at the worst output")];
  if (point.lost !== null) tiles.push(tile(lost(point.lost), `lost of ${safe(s.metric || "the metric")}`));
  for (const [axis, unit] of [["latency", "ms"], ["size", "MB"], ["ops", "Gop"]]) if (axis !== s.axis && point.costs[axis] !== undefined) tiles.push(tile(`${fine(point.costs[axis])} ${unit}`, AXES[axis]));
  const same = winner === undefined ? "" : differ ? ` ${differ} of ${s.groups.length} groups differ from the chosen plan and are marked below the strip.` : " This is the chosen plan.";
  const own = D.settings.recipe ? `Put its rules above those of ${safe(D.settings.recipe)}; the` : "The";
  box.replaceChildren(
    el("h2", {}, `Plan ${point.n} for ${safe(D.targets[picked.target].name)}: ${safe(point.layers)}`),
    el("div", { class: "tiles" }, ...tiles),
    el("p", { class: "hint" }, `Each bar is a group of layers, from input to output: its width is its share of the multiply-accumulates, and a taller bar is a more exact precision.${same}`),
    el("div", { class: "strip" }, strip(s, point, wide, 48, `Precision of ${s.groups.length} groups`), differ ? el("p", { class: "hint" }, "The chosen plan:") : null, differ ? strip(s, winner, wide, 24, "The chosen plan") : null,
      el("p", { class: "keys" }, ...s.precisions.map((name, k) => el("span", {}, el("span", { class: `dot ${hue(k, s.precisions.length)}` }), safe(name))))),
    el("h3", {}, "How to use this plan"), el("div", { class: "code" }, copyButton(() => point.recipe), el("pre", { tabindex: 0 }, point.recipe)),
    el("p", { class: "hint" }, `${own} file lies in this run's folder.`),
    planTable(s, point, differ ? winner : null));
};
const drawMixed = () => {
  if (picked === null || (picked.target !== chosen && D.targets[chosen].search)) { const i = D.targets[chosen].search ? chosen : SEARCHED[0]; picked = { target: i, n: best(i).n }; }
  SEARCHED.forEach(drawFront);
  drawPlan();
};
SECTIONS.push(drawMixed);
