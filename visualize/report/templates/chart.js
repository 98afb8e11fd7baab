// chart: the small pictures of the drawer
const frame = (wide, tall, label, ...children) => svg("svg", { viewBox: `0 0 ${wide} ${tall}`, role: "img", "aria-label": label }, ...children);
const text = (x, y, words, anchor = "start", kind = "axis") => svg("text", { x, y, "text-anchor": anchor, class: kind }, words);

const histogram = (input) => {
  const h = input.hist, wide = narrowScreen() ? 330 : 500, tall = 150, base = 122;
  if (!h || !h.n.length) return el("p", { class: "note" }, "No histogram was kept.");
  const most = Math.log1p(Math.max(...h.n)) || 1, step = wide / h.n.length, span = h.high - h.low || 1;
  const at = (v) => ((v - h.low) / span) * wide;
  const box = frame(wide, tall, `Histogram of ${safe(input.tensor)}`);
  box.append(svg("rect", { x: at(input.grid_low), y: base + 3, width: Math.max(1, at(input.grid_high) - at(input.grid_low)), height: 5, class: "bar-quiet" }));
  if (input.step) { // the grid's steps, as many as can be told apart
    const every = Math.max(1, Math.ceil((input.grid_high - input.grid_low) / input.step / 64));
    for (let v = input.grid_low, i = 0; v <= input.grid_high + input.step / 2 && i < 70; v += input.step * every, i += 1)
      box.append(svg("line", { x1: at(v), x2: at(v), y1: base + 3, y2: base + 8, class: "grid-line" }));
  }
  h.n.forEach((n, i) => {
    if (!n) return;
    const value = h.low + ((i + 0.5) / h.n.length) * span, out = value < input.grid_low || value > input.grid_high;
    const high = Math.max(1, (Math.log1p(n) / most) * 104);
    box.append(svg("rect", { x: i * step + 0.5, y: base - high, width: Math.max(0.5, step - 1), height: high, class: out ? "bar-out" : "bar-fill" },
      svg("title", {}, `${short(h.low + (i / h.n.length) * span)} to ${short(h.low + ((i + 1) / h.n.length) * span)}: ${n}`)));
  });
  for (const [v, anchor, off] of [[input.grid_low, "start", 4], [input.grid_high, "end", -4]])
    box.append(svg("line", { x1: at(v), x2: at(v), y1: 6, y2: base + 8, class: "clip" }), text(at(v) + off, 13, `clip ${short(v)}`, anchor, "clip-text"));
  box.append(text(0, tall - 6, short(h.low)), text(wide, tall - 6, short(h.high), "end"), text(wide / 2, tall - 6, narrowScreen() ? "log count by value" : "value; height is the logarithm of the count", "middle"));
  return box;
};

const bars = (values, options) => {
  const wide = narrowScreen() ? 330 : 500, tall = 104, base = 82;
  const known = values.filter((v) => v !== null && Math.abs(v) < LOSSLESS);
  const most = options.most ?? Math.max(...known, 1e-9), least = Math.min(0, ...known), step = wide / Math.max(values.length, 1);
  const y = (v) => base - ((Math.min(v, most) - least) / (most - least || 1)) * 70;
  const box = frame(wide, tall, options.label);
  for (const share of [0, 0.5, 1]) {
    const v = least + (most - least) * share;
    box.append(svg("line", { x1: 0, x2: wide, y1: y(v), y2: y(v), class: "grid-line" }));
  }
  values.forEach((v, i) => {
    if (v === null) return;
    const seen = Math.min(v, most), paint = options.bad ? colour(options.bad(v)) : null;
    const bar = svg("rect", { x: i * step + step * 0.08, y: Math.min(y(seen), y(0)), width: Math.max(0.6, step * 0.84), height: Math.max(1.5, Math.abs(y(0) - y(seen))), class: "bar-fill" }, svg("title", {}, options.title(i, v)));
    if (paint) bar.style.fill = css(paint);
    box.append(bar);
  });
  for (const share of [0.5, 1]) box.append(text(wide, y(least + (most - least) * share) - 3, `${short(least + (most - least) * share)} ${options.unit}`, "end"));
  box.append(text(0, tall - 6, options.first), text(wide, tall - 6, options.last, "end"));
  return box;
};

const ranges = (weight) => {
  const wide = narrowScreen() ? 330 : 500, tall = 104, base = 48;
  const most = Math.max(...weight.low.map((v) => -v), ...weight.high, 1e-12), step = wide / weight.low.length;
  const box = frame(wide, tall, "Range of each weight channel");
  box.append(svg("line", { x1: 0, x2: wide, y1: base, y2: base, class: "grid-line" }));
  weight.low.forEach((low, i) => {
    const up = (weight.high[i] / most) * 42, down = (-low / most) * 42;
    box.append(svg("rect", { x: i * step + step * 0.1, y: base - up, width: Math.max(0.6, step * 0.8), height: Math.max(1, up + down), class: "bar-fill" }, svg("title", {}, `${short(low)} to ${short(weight.high[i])}`)));
  });
  box.append(text(0, 10, short(most)), text(0, 92, `−${short(most)}`), text(wide, tall - 2, `${weight.n} output channels`, "end"));
  return box;
};
