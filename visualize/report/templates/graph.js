// graph: the network in ranks, coloured by one metric, to zoom, to move, to search
const G = D.graph, W = 168, H = 34, DX = 190, DY = 62;
const place = (x, rank) => [x * DX, rank * DY];
const extent = () => {
  const xs = G.nodes.map((n) => n[2] * DX), ys = G.nodes.map((n) => n[3] * DY);
  const low = Math.min(...xs, 0) - W, high = Math.max(...xs, 0) + W;
  return { x: low, y: -H * 1.5, w: high - low, h: Math.max(...ys, 0) + H * 3 };
};
const whole = extent();
let view = { ...whole }, shade = 0, nodes = [], hits = [], hit = -1;

const curve = (points) => points.slice(1).reduce((path, [x, y], i) => { const [a, b] = points[i], half = (b + y) / 2; return `${path}C${a} ${half} ${x} ${half} ${x} ${y}`; }, `M${points[0].join(" ")}`);
const buildGraph = () => {
  const edges = svg("g", {}), layer = svg("g", {});
  for (const [a, b, way] of G.edges) {
    const [ax, ay] = place(G.nodes[a][2], G.nodes[a][3]), [bx, by] = place(G.nodes[b][2], G.nodes[b][3]);
    edges.append(svg("path", { class: "g-edge", d: curve([[ax, ay + H / 2], ...way.map(([x, r]) => place(x, r)), [bx, by - H / 2]]) }));
  }
  nodes = G.nodes.map(([name, op, x, rank, index], at) => {
    const [cx, cy] = place(x, rank), shown = brief(name, 25);
    const node = svg("g", { class: "g-node", transform: `translate(${cx - W / 2} ${cy - H / 2})` }, svg("title", {}, `${safe(name)} (${op})`), svg("rect", { width: W, height: H, rx: index < 0 && (op === "input" || op === "output") ? 17 : 6 }),
      svg("text", { x: W / 2, y: 14, "text-anchor": "middle" }, shown), svg("text", { x: W / 2, y: 27, "text-anchor": "middle", class: "op" }, ""));
    node.dataset.node = at;
    layer.append(node);
    return node;
  });
  $("graph").replaceChildren(edges, layer);
  const strips = svg("g", {});
  G.nodes.forEach(([, , x, rank]) => { const [cx, cy] = place(x, rank); strips.append(svg("rect", { x: cx - W / 2, y: cy - DY / 2, width: W, height: DY })); });
  $("mini").setAttribute("viewBox", `${whole.x} ${whole.y} ${whole.w} ${whole.h}`);
  $("mini").setAttribute("preserveAspectRatio", "none");
  $("mini").replaceChildren(strips, svg("rect", { class: "g-view", "vector-effect": "non-scaling-stroke", "stroke-width": 2 }));
};
const paintGraph = () => {
  const m = METRICS[shade], nothing = hole(), strips = $("mini").firstChild.children;
  nodes.forEach((node, at) => {
    const [, op, , , index] = G.nodes[at], r = index >= 0 ? rows()[index] : null, value = r ? m.get(r) ?? null : null, paint = r ? colour(m.bad(value)) : null;
    node.querySelector("rect").style.fill = paint ? css(paint) : nothing;
    strips[at].style.fill = paint ? css(paint) : nothing;
    node.classList.toggle("dark", Boolean(paint) && !light(paint));
    node.classList.toggle("pale", Boolean(paint) && light(paint));
    node.querySelector(".op").textContent = value === null ? (r ? `${op} · ${r.precision}` : op) : `${op} · ${m.show(value)} ${m.unit}`;
  });
};
const showView = () => {
  const box = $("graph").getBoundingClientRect(), ratio = (box.height || 1) / (box.width || 1);
  view.h = view.w * ratio;
  $("graph").setAttribute("viewBox", `${view.x} ${view.y} ${view.w} ${view.h}`);
  const seen = $("mini").lastChild;
  for (const [key, value] of Object.entries({ x: Math.max(view.x, whole.x), y: view.y, width: Math.min(view.w, whole.w), height: view.h })) seen.setAttribute(key, value);
};
const zoom = (by, cx = view.x + view.w / 2, cy = view.y + view.h / 2) => {
  const wide = Math.min(Math.max(view.w * by, 260), Math.max(whole.w, whole.h) * 2.4), part = wide / view.w;
  view = { x: cx - (cx - view.x) * part, y: cy - (cy - view.y) * part, w: wide, h: view.h * part };
  showView();
};
const fitGraph = () => {
  const box = $("graph").getBoundingClientRect(), ratio = (box.height || 1) / (box.width || 1), wide = Math.max(whole.w, whole.h / ratio);
  view = { x: whole.x + whole.w / 2 - wide / 2, y: whole.y, w: wide, h: wide * ratio };
  showView();
};
const goTo = (at) => {
  const [x, y] = place(G.nodes[at][2], G.nodes[at][3]), wide = Math.max(420, Math.min(1100, $("graph").clientWidth));
  view = { x: x - wide / 2, y: 0, w: wide, h: 1 };
  showView();
  view.y = y - view.h / 2;
  showView();
  nodes.forEach((n, i) => n.classList.toggle("hit", i === at));
};
const worstNode = () => {
  let best = -1, most = -1;
  G.nodes.forEach(([, , , , index], at) => { const r = index >= 0 ? rows()[index] : null; if (r && (r.share ?? -1) > most) { most = r.share ?? -1; best = at; } });
  return best < 0 ? 0 : best;
};
const findNode = (step) => {
  const words = $("find").value.toLowerCase();
  if (!words) { $("found").textContent = ""; return; }
  hits = G.nodes.map((n, i) => i).filter((i) => `${G.nodes[i][0]} ${G.nodes[i][1]}`.toLowerCase().includes(words));
  hit = step ? (hit + 1) % (hits.length || 1) : 0;
  $("found").textContent = hits.length ? `${hit + 1} of ${hits.length}: ${safe(G.nodes[hits[hit]][0])}. Enter goes to the next one.` : "No layer has that in its name or operator.";
  if (hits.length) goTo(hits[hit]);
};
const wireGraph = () => {
  const box = $("graph"), held = new Map();
  let moved = 0, apart = 0;
  const unit = () => view.w / (box.clientWidth || 1);
  box.addEventListener("wheel", (e) => {
    if (!e.ctrlKey && !e.metaKey && document.activeElement !== box) return; // the page scrolls until the graph is taken
    e.preventDefault();
    const at = box.getBoundingClientRect();
    zoom(Math.exp(e.deltaY * 0.0015), view.x + (e.clientX - at.left) * unit(), view.y + (e.clientY - at.top) * unit());
  }, { passive: false });
  box.addEventListener("pointerdown", (e) => { held.set(e.pointerId, e); moved = 0; box.focus({ preventScroll: true }); });
  box.addEventListener("pointermove", (e) => {
    const before = held.get(e.pointerId);
    if (!before) return;
    held.set(e.pointerId, e);
    if (held.size === 1) { const dx = e.clientX - before.clientX, dy = e.clientY - before.clientY; moved += Math.abs(dx) + Math.abs(dy); if (moved > 4) { box.setPointerCapture(e.pointerId); box.classList.add("held"); view.x -= dx * unit(); view.y -= dy * unit(); showView(); } return; }
    const [a, b] = [...held.values()], now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    if (apart) zoom(apart / now);
    apart = now; moved = 99;
  });
  const drop = (e) => { held.delete(e.pointerId); apart = 0; box.classList.remove("held"); };
  box.addEventListener("pointerup", drop); box.addEventListener("pointercancel", drop);
  box.addEventListener("click", (e) => { const node = e.target.closest(".g-node"); if (!node || moved > 4) return; const index = G.nodes[node.dataset.node][4]; if (index >= 0) openLayer(index, box); });
  box.addEventListener("keydown", (e) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
    if (by) { e.preventDefault(); view.x += by[0] * view.w * 0.12; view.y += by[1] * view.h * 0.2; showView(); }
    if (e.key === "+" || e.key === "=") zoom(0.8);
    if (e.key === "-") zoom(1.25);
    if (e.key === "Enter") { e.preventDefault(); const at = nodes.findIndex((n) => n.classList.contains("hit")), index = at < 0 ? -1 : G.nodes[at][4]; if (index >= 0) openLayer(index, box); }
  });
  const jump = (e) => { if (!e.buttons && e.type !== "click") return; const at = $("mini").getBoundingClientRect(); view.y = whole.y + ((e.clientY - at.top) / at.height) * whole.h - view.h / 2; view.x = whole.x + ((e.clientX - at.left) / at.width) * whole.w - view.w / 2; showView(); };
  $("mini").addEventListener("pointerdown", jump); $("mini").addEventListener("pointermove", jump);
  $("zoom-in").addEventListener("click", () => zoom(0.7));
  $("zoom-out").addEventListener("click", () => zoom(1.4));
  $("zoom-fit").addEventListener("click", fitGraph);
  $("zoom-worst").addEventListener("click", () => goTo(worstNode()));
  $("find").addEventListener("input", () => findNode(false));
  $("find").addEventListener("keydown", (e) => { if (e.key === "Enter") findNode(true); });
  METRICS.forEach((m, i) => $("colour").append(el("option", { value: i }, `coloured by ${m.title}`)));
  $("colour").addEventListener("change", (e) => { shade = Number(e.target.value); paintGraph(); });
};
