// table: sortable by its headers, filtered as one types
const share = (i) => D.macs[i] / total;
const metricColumn = (key) => {
  const m = METRICS.find((metric) => metric.key === key);
  return { title: m.title, unit: m.unit, metric: m, get: (i) => { const r = rows()[i]; return r ? m.get(r) ?? null : null; }, show: (i, v) => m.show(v) };
};
const COLUMNS = [
  { title: "#", get: (i) => i, show: (i) => String(i + 1) },
  { title: "layer", kind: "layer", get: (i) => D.names[i] },
  { title: "operator", kind: "text", get: (i) => D.ops[i] },
  { title: "precision", kind: "text", get: (i) => rows()[i]?.precision ?? "" },
  ...["iso", "cum", "share"].map(metricColumn),
  { title: "likely cause", kind: "why", get: (i) => cause(i) },
  ...["wdb", "adb", "sat"].map(metricColumn),
  { title: "MACs", unit: "% of all", get: share, show: (i, v) => percent(v), down: true },
  metricColumn("used"),
];
const cause = (i) => { const c = rows()[i]?.causes?.[0]; return c ? c.evidence + (c.remedy ? ` → ${c.remedy}` : "") : rows()[i]?.because ?? ""; };
let sorted = { column: 4, up: true };

const compareBy = (column, up) => (a, b) => {
  const x = column.get(a), y = column.get(b);
  if (x === null || y === null) return (x === null) - (y === null) || a - b; // what was not measured goes last
  const order = typeof x === "string" ? x.localeCompare(y) : x - y;
  return (up ? order : -order) || a - b;
};
const matching = () => {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  return D.names.map((_, i) => i).filter((i) => rows()[i]).filter((i) => {
    const hay = `${D.names[i]} ${D.ops[i]} ${rows()[i].precision} ${cause(i)}`.toLowerCase();
    return words.every((w) => hay.includes(w));
  });
};
const drawHead = () => el("thead", {}, el("tr", {}, ...COLUMNS.map((c, at) => {
  const order = sorted.column === at ? (sorted.up ? "ascending" : "descending") : "none";
  const kind = c.kind === "why" ? "text" : c.kind ?? "";
  return el("th", { scope: "col", class: kind === "layer" ? "layer text" : kind, "aria-sort": order },
    el("button", { type: "button", onclick: () => sortBy(at) }, el("span", {}, c.title), c.unit ? el("small", {}, c.unit) : null));
})));
const sortBy = (at) => {
  const first = !(COLUMNS[at].down || COLUMNS[at].metric?.up);
  sorted = { column: at, up: sorted.column === at ? !sorted.up : first };
  drawTable();
  $("table").querySelectorAll("th button")[at].focus();
};
const cell = (c, i) => {
  const value = c.get(i);
  if (c.kind === "layer") return el("td", { class: "layer" }, el("button", { type: "button", title: safe(value), onclick: (e) => openLayer(i, e.currentTarget) }, brief(value, narrowScreen() ? 19 : 34)));
  if (c.kind) return el("td", { class: c.kind, title: c.kind === "why" ? safe(value) : null }, safe(value));
  const made = el("td", {}, c.show(i, value));
  const paint = c.metric ? colour(c.metric.bad(value)) : null;
  if (paint) { made.classList.add("heat"); made.style.background = css(paint); made.style.color = light(paint) ? "#14171a" : "#fff"; }
  return made;
};
const drawTable = () => {
  const found = matching().sort(compareBy(COLUMNS[sorted.column], sorted.up));
  $("table").replaceChildren(drawHead(), el("tbody", {}, ...found.map((i) => el("tr", { "data-layer": i }, ...COLUMNS.map((c) => cell(c, i))))));
  $("count").textContent = `${found.length} of ${rows().filter(Boolean).length} layers`;
};
const drawSide = () => {
  const table = $("side");
  if (!table) return;
  const worst = (i) => Math.min(...D.targets.map((t) => t.rows[i]?.iso ?? Infinity));
  const order = D.names.map((_, i) => i).sort((a, b) => worst(a) - worst(b) || a - b);
  const head = el("tr", {}, el("th", { class: "layer text", scope: "col" }, el("button", { type: "button", disabled: "" }, "layer")), ...D.targets.map((t) => el("th", { scope: "col" }, el("button", { type: "button", disabled: "" }, safe(t.name), el("small", {}, safe(t.words))))));
  const body = order.map((i) => el("tr", {}, el("td", { class: "layer" }, el("button", { type: "button", title: safe(D.names[i]), onclick: (e) => openLayer(i, e.currentTarget) }, brief(D.names[i], narrowScreen() ? 19 : 40))),
    ...D.targets.map((t) => {
      const r = t.rows[i], made = el("td", {}, r ? (r.iso === null ? r.precision : decibel(r.iso)) : "–"), paint = r ? colour(METRICS[0].bad(r.iso)) : null;
      if (paint) { made.style.background = css(paint); made.style.color = light(paint) ? "#14171a" : "#fff"; }
      return made;
    })));
  table.replaceChildren(el("thead", {}, head), el("tbody", {}, ...body));
};
