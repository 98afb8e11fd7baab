// front: cost against accuracy of each plan that was looked at, a chart for each target
const SEARCHED = D.targets.map((_, i) => i).filter((i) => D.targets[i].search);
const fine = (v) => (v === null || v === undefined ? "–" : String(Number(v.toPrecision(4))));
const NO_ERROR = 200; // more dB than float32 itself has
const sqnr = (v) => (v === null ? "–" : v >= NO_ERROR ? "no error" : `${v.toFixed(1)} dB`);
const lost = (v) => (v === null ? "–" : `${(Math.abs(100 * v) < 0.005 ? 0 : 100 * v).toFixed(2)} points`);
const best = (i) => D.targets[i].search.points.find((p) => p.chosen) ?? D.targets[i].search.points[0];
const order = (i) => [...D.targets[i].search.points].sort((a, b) => a.cost - b.cost || a.n - b.n);
const cursors = new Map(); // by target the number of the point the keys are at
let picked = null; // the target and point whose plan is shown

const AXES = { latency: "time of a sample", size: "weights", ops: "bit operations" };
const spotWords = (i, p) => {
  const s = D.targets[i].search, from = { front: "on the front", uniform: "one precision for all", greedy: "greedy path", neighbour: "one step from the best" }[p.source] ?? p.source;
  const drop = p.lost === null ? "" : `, ${s.metric || "metric"} lost ${lost(p.lost)}${p.margin > 0 ? ` ± ${(100 * p.margin).toFixed(2)}` : ""}`;
  return `Point ${p.n}, ${p.chosen ? "chosen, " : ""}${p.one ? `all ${safe(p.one)}` : safe(from)}: ${fine(p.cost)} ${s.unit}; ${sqnr(p.predicted)} predicted, ${p.measured === null ? "not measured" : `${sqnr(p.measured)} measured`}${safe(drop)}. ${safe(p.layers)}`;
};
const steps = (low, high, count) => {
  const raw = (high - low) / count || 1, base = 10 ** Math.floor(Math.log10(raw));
  const step = base * ([1, 2, 5].find((m) => m * base >= raw) ?? 10), found = [];
  for (let v = Math.ceil(low / step - 1e-9); v * step <= high + step * 1e-9; v += 1) found.push(Number((v * step).toPrecision(12)));
  return found;
};
const padded = (values, part) => {
  const low = Math.min(...values), high = Math.max(...values), room = (high - low || Math.abs(high) || 1) * part;
  return [low - room, high + room];
};
const straight = (range, from, to) => (v) => from + ((v - range[0]) / (range[1] - range[0])) * (to - from);
const diamond = (x, y, r, kind) => svg("path", { d: `M${x - r} ${y}L${x} ${y - r}L${x + r} ${y}L${x} ${y + r}Z`, class: kind });

// a label goes where it covers least: another label, the border, points and lines, in this order
const labelAt = (x, y, lines, area, taken, spots) => {
  const wide = Math.max(...lines.map((l) => l.length)) * 6.4, tall = 14 * lines.length;
  let found = null;
  for (const far of [10, 20, 34, 50]) for (const [dx, dy] of [[1, 0], [1, -1], [1, 1], [0, -1], [0, 1], [-1, 0], [-1, -1], [-1, 1]]) {
    const left = x + dx * far - (dx < 0 ? wide : dx ? 0 : wide / 2), top = y + dy * far - (dy < 0 ? tall : dy ? 0 : tall / 2);
    const box = [left, top, left + wide, top + tall];
    const out = Math.max(0, area[0] - box[0]) + Math.max(0, box[2] - area[2]) + Math.max(0, area[1] - box[1]) + Math.max(0, box[3] - area[3]);
    const over = taken.filter((b) => b[0] < box[2] && box[0] < b[2] && b[1] < box[3] && box[1] < b[3]).length;
    const hidden = spots.filter(([a, b]) => a > box[0] - 3 && a < box[2] + 3 && b > box[1] - 3 && b < box[3] + 3).length;
    const bad = 1000 * over + 50 * out + 6 * hidden + far;
    if (!found || bad < found.bad) found = { bad, box, dx };
  }
  taken.push(found.box);
  return found;
};
const between = (line) => line.slice(1).flatMap(([x, y], at) => Array.from({ length: 12 }, (_, i) => [line[at][0] + ((x - line[at][0]) * i) / 12, line[at][1] + ((y - line[at][1]) * i) / 12]));

const drawFront = (i) => {
  const s = D.targets[i].search, holder = document.querySelector(`[data-front="${i}"] .plot`), wide = Math.max(260, holder.clientWidth), points = order(i);
  const tall = narrowScreen() ? 270 : 320, low = s.drop === null ? 0 : 130, left = 46, right = wide - 10, top = 14, base = tall - 34;
  const known = points.flatMap((p) => [p.predicted, p.measured]).filter((v) => v !== null && v < NO_ERROR), ceiling = Math.max(0, ...known) + 3, perfect = points.some((p) => Math.max(p.predicted, p.measured ?? 0) >= NO_ERROR);
  const up = (v) => (v >= NO_ERROR ? ceiling : v);
  const x = straight(padded(points.map((p) => p.cost), 0.06), left, right), range = padded([...known, ...(s.min === null ? [] : [s.min]), ...(perfect || !known.length ? [ceiling] : [])], 0.12), y = straight(range, base, top);
  const box = svg("svg", { viewBox: `0 0 ${wide} ${tall + low}`, height: tall + low, tabindex: 0, role: "application", "aria-label": `${safe(D.targets[i].name)}: ${points.length} plans, cost against SQNR. Left and right move from plan to plan by cost, Enter shows the plan.` });
  const costs = padded(points.map((p) => p.cost), 0.06), line = (x1, y1, x2, y2, kind) => svg("line", { x1, y1, x2, y2, class: kind });
  const frameOf = (bottom, head, scaleY, values, title, unit) => {
    for (const v of values) box.append(line(left, scaleY(v), right, scaleY(v), "grid-line"), text(left - 6, scaleY(v) + 3.5, fine(v), "end"));
    for (const v of steps(...costs, wide < 420 ? 3 : 6)) box.append(line(x(v), head, x(v), bottom, "grid-line"), text(x(v), bottom + 14, fine(v), "middle"));
    box.append(text(left, head - 4, title), text(right, bottom + 28, unit, "end"));
    if (s.most !== null && s.most > costs[0] && s.most < costs[1]) box.append(line(x(s.most), head, x(s.most), bottom, "f-budget"), text(x(s.most) - 4, bottom - 6, `budget ${fine(s.most)} ${s.unit}`, "end", "f-word small"));
  };
  frameOf(base, top, y, steps(...range, 6), "SQNR at the worst output, dB: more is better", `${AXES[s.axis] ?? s.axis}, ${s.unit}`);
  if (perfect) box.append(text(left + 4, y(ceiling) - 6, "no error"));
  const taken = [], front = points.filter((p) => p.source === "front").map((p) => [x(p.cost), y(up(p.predicted))]), spots = [...front, ...between(front)];
  if (s.min !== null) {
    box.append(line(left, y(s.min), right, y(s.min), "f-limit"), text(right, y(s.min) + 13, `at least ${fine(s.min)} dB`, "end", "f-word small"));
    taken.push([right - 100, y(s.min), right, y(s.min) + 16]);
    spots.push(...between([[left, y(s.min)], [right, y(s.min)]]), ...Array.from({ length: Math.ceil((right - left) / 8) }, (_, at) => [left + at * 8, y(s.min)]));
  }
  const marks = []; // every place where a point can be met
  const mark = (p, px, py) => { marks.push([p, px, py]); spots.push([px, py]); };
  box.append(svg("path", { d: front.map(([a, b], at) => `${at ? "L" : "M"}${a} ${b}`).join(""), class: "f-line" }));
  points.filter((p) => p.source === "front").forEach((p) => { box.append(svg("circle", { cx: x(p.cost), cy: y(up(p.predicted)), r: 2.8, class: "f-dot" })); mark(p, x(p.cost), y(up(p.predicted))); });
  const seen = (py) => (p) => {
    const strong = p.chosen || p.source === "front" || p.source === "uniform";
    box.append(diamond(x(p.cost), py(p), strong ? 5.5 : 4, strong ? "f-seen" : "f-else"));
    mark(p, x(p.cost), py(p));
  };
  points.filter((p) => p.source === "front" && p.measured !== null).forEach((p) => box.append(line(x(p.cost), y(up(p.predicted)), x(p.cost), y(up(p.measured)), "f-gap")));
  const weak = (p) => (p.chosen ? 2 : p.source === "front" || p.source === "uniform" ? 1 : 0), paint = [...points].sort((a, b) => weak(a) - weak(b));
  paint.filter((p) => p.measured !== null).forEach(seen((p) => y(up(p.measured))));
  const place = (p) => y(up(p.measured ?? p.predicted));
  for (const p of paint.filter((q) => q.one)) box.append(svg("rect", { x: x(p.cost) - 7, y: place(p) - 7, width: 14, height: 14, class: "f-one" }));
  if (s.drop !== null) {
    const judged = points.filter((p) => p.lost !== null), bottom = tall + low - 34, head = tall + 14, wanted = padded([...judged.flatMap((p) => [100 * (p.lost - p.margin), 100 * (p.lost + p.margin)]), 100 * s.drop, 0], 0.2), z = straight(wanted, bottom, head);
    frameOf(bottom, head, z, steps(...wanted, 3), `${safe(s.metric || "metric")} lost, points: less is better; lines: standard error`, `${AXES[s.axis] ?? s.axis}, ${s.unit}`);
    box.append(line(left, z(100 * s.drop), right, z(100 * s.drop), "f-limit"), text(right, z(100 * s.drop) - 4, `at most ${lost(s.drop)}`, "end", "f-word small"));
    judged.forEach((p) => box.append(line(x(p.cost), z(100 * (p.lost - p.margin)), x(p.cost), z(100 * (p.lost + p.margin)), "f-gap")));
    paint.filter((p) => p.lost !== null).forEach(seen((p) => z(100 * p.lost)));
    judged.filter((p) => p.chosen).forEach((p) => box.append(svg("circle", { cx: x(p.cost), cy: z(100 * p.lost), r: 10, class: "f-ring" })));
  }
  for (const p of [...points.filter((q) => q.chosen), ...points.filter((q) => q.one && !q.chosen)]) {
    if (p.chosen) box.append(svg("circle", { cx: x(p.cost), cy: place(p), r: 11, class: "f-ring" }));
    const one = p.one ? `all ${brief(p.one, 14)}` : "", head = s.kept ? "chosen" : "best, not enough";
    const words = p.chosen ? [one ? `${head}, ${one}` : head, `${sqnr(p.measured ?? p.predicted)}, ${fine(p.cost)} ${s.unit}`] : [one];
    const { box: at, dx } = labelAt(x(p.cost), place(p), words, [left, top, right, base], taken, spots);
    words.forEach((w, n) => box.append(text(dx < 0 ? at[2] : dx ? at[0] : (at[0] + at[2]) / 2, at[1] + 11 + 14 * n, w, dx < 0 ? "end" : dx ? "start" : "middle", p.chosen ? "f-word win" : "f-word")));
  }
  const halo = svg("g", {}), ringed = svg("g", {});
  box.append(ringed, halo);
  const around = (group, p, kind, r) => group.replaceChildren(...(p ? marks.filter(([q]) => q === p) : []).map(([, px, py]) => svg("circle", { cx: px, cy: py, r, class: kind })));
  wireFront(i, box, { points, marks, wide, high: tall + low, show: (p) => around(halo, p, "f-cursor", 8) });
  if (picked?.target === i) around(ringed, points.find((p) => p.n === picked.n), "f-picked", 15);
  holder.replaceChildren(box);
  tellSpot(i, null);
};
const tellSpot = (i, p) => {
  const rest = picked?.target === i ? D.targets[i].search.points.find((q) => q.n === picked.n) : null, shown = p ?? rest;
  document.querySelector(`[data-front="${i}"] .spot`).textContent = shown ? spotWords(i, shown) : `${D.targets[i].search.points.length} plans, ${fine(Math.min(...D.targets[i].search.points.map((q) => q.cost)))} to ${fine(Math.max(...D.targets[i].search.points.map((q) => q.cost)))} ${D.targets[i].search.unit}.`;
};
const wireFront = (i, box, { points, marks, wide, high, show }) => {
  const nearest = (e) => {
    const view = box.getBoundingClientRect(), mx = ((e.clientX - view.left) / view.width) * wide, my = ((e.clientY - view.top) / view.height) * high;
    const [far, p] = marks.reduce((a, [q, px, py]) => { const d = Math.hypot(px - mx, py - my); return d <= a[0] ? [d, q] : a; }, [Infinity, null]);
    return far < 26 ? p : null;
  };
  const look = (p) => { show(p); tellSpot(i, p); };
  box.addEventListener("mousemove", (e) => { const p = nearest(e); look(p); tip(p ? spotWords(i, p) : "", e); });
  box.addEventListener("mouseleave", () => { look(null); tip(""); });
  box.addEventListener("click", (e) => { const p = nearest(e); if (p) { tip(""); pickPoint(i, p.n); } });
  box.addEventListener("focus", () => { if (box.matches(":focus-visible")) look(points.find((p) => p.n === (cursors.get(i) ?? best(i).n))); });
  box.addEventListener("blur", () => look(null));
  box.addEventListener("keydown", (e) => {
    const here = Math.max(0, points.findIndex((p) => p.n === (cursors.get(i) ?? best(i).n)));
    if (e.key === "Enter" || e.key === " ") { e.preventDefault(); pickPoint(i, points[here].n, true); return; }
    const to = { ArrowRight: here + 1, ArrowUp: here + 1, ArrowLeft: here - 1, ArrowDown: here - 1, Home: 0, End: points.length - 1 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    const p = points[Math.min(points.length - 1, Math.max(0, to))];
    cursors.set(i, p.n);
    look(p);
  });
};
const pickPoint = (i, n, keys) => {
  picked = { target: i, n };
  cursors.set(i, n);
  if (i !== chosen && $("target")) { $("target").value = String(i); $("target").dispatchEvent(new Event("change")); } else drawMixed();
  if (keys) document.querySelector(`[data-front="${i}"] svg`).focus();
};
