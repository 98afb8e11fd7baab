// heat: layers down, something across; one canvas, every cell opens its layer
const MAPS = [
  { title: "Metrics", hint: "Each column has its own scale, written above it; the stronger the colour, the worse. Hatched: not measured.",
    columns: () => METRICS.map((m) => `${m.title}, ${m.ends}`),
    at: (r, x) => ({ bad: METRICS[x].bad(METRICS[x].get(r) ?? null), words: `${METRICS[x].title}: ${METRICS[x].show(METRICS[x].get(r) ?? null)} ${METRICS[x].unit}` }) },
  { title: "Images", hint: "SQNR at the outputs with only this layer quantized, image by image, 50 to 10 dB. A column that stands out is an image that breaks many layers.",
    columns: () => D.images,
    at: (r, x) => ({ bad: METRICS[0].bad(r.img?.[x] ?? null), words: `${safe(D.images[x])}: ${decibel(r.img?.[x])} dB` }) },
  { title: "Channels", hint: "SQNR of each output channel of a layer on float inputs, 50 to 10 dB; wide layers are put into 96 buckets, the worst channel of each. Hatched: a channel that is silent.",
    columns: () => Array.from({ length: Math.max(1, ...rows().map((r) => r?.channels?.db.length ?? 0)) }, (_, i) => (i % 8 ? "" : String(i))),
    at: (r, x) => { const c = r.channels; if (!c || x >= c.db.length) return null; const many = c.n > c.db.length; return { bad: METRICS[0].bad(c.db[x]), words: `${many ? "channels about" : "channel"} ${many ? Math.round((x / c.db.length) * c.n) : x}: ${decibel(c.db[x])} dB, ${percent(c.share[x])} % of the layer's noise` }; } },
];
let map = 0, cursor = { x: 0, y: 0 }, grid = null;

const drawTabs = () => {
  const box = document.querySelector(".tabs");
  box.replaceChildren(...MAPS.map((m, i) => el("button", { type: "button", role: "tab", "aria-selected": String(i === map), tabindex: i === map ? 0 : -1, onclick: () => chooseMap(i),
    onkeydown: (e) => { const by = { ArrowRight: 1, ArrowLeft: -1 }[e.key]; if (by) { chooseMap((i + by + MAPS.length) % MAPS.length); box.children[map].focus(); } } }, m.title)));
};
const chooseMap = (i) => { map = i; cursor = { x: 0, y: 0 }; drawTabs(); drawMap(); };

const drawMap = () => {
  const m = MAPS[map], columns = m.columns(), shown = D.names.map((_, i) => i).filter((i) => rows()[i]);
  $("map-hint").textContent = m.hint;
  const room = Math.max(280, $("map").clientWidth - 24), narrow = room < 600;
  const left = narrow ? 110 : Math.min(330, 16 + 7.2 * Math.max(...shown.map((i) => safe(D.names[i]).length))), top = map === 2 ? 22 : 30 + Math.min(120, 4.9 * Math.max(...columns.map((c) => brief(c, 34).length)));
  const wide = Math.max(map === 2 ? 4 : 16, Math.min(map === 0 ? 84 : 40, (room - left - (map === 2 ? 12 : 108)) / columns.length)), tall = shown.length > 200 ? 13 : shown.length > 80 ? 15 : 18;
  grid = { shown, columns, left, top, wide, tall };
  const dpr = Math.min(2, devicePixelRatio || 1), width = Math.ceil(left + wide * columns.length + (map === 2 ? 12 : 108)), height = Math.ceil(top + tall * shown.length + 4);
  const canvas = el("canvas", { tabindex: 0, role: "application", "aria-label": `${m.title}: ${shown.length} layers by ${columns.length}. Arrow keys move, Enter opens the layer.` });
  canvas.width = width * dpr; canvas.height = height * dpr;
  canvas.dataset.left = left; canvas.dataset.top = top; canvas.dataset.tall = tall;
  canvas.style.width = `${width}px`; canvas.style.height = `${height}px`;
  canvas.addEventListener("mousemove", (e) => { const at = cellAt(e); tip(at ? `${safe(D.names[at.layer])}\n${at.seen.words}` : "", e); });
  canvas.addEventListener("mouseleave", () => tip(""));
  canvas.addEventListener("click", (e) => { const at = cellAt(e); if (at) { cursor = { x: at.x, y: at.y }; paintMap(canvas, dpr, m); openLayer(at.layer, canvas); } });
  canvas.addEventListener("keydown", (e) => moveCursor(e, canvas, dpr, m));
  canvas.addEventListener("focus", () => paintMap(canvas, dpr, m));
  canvas.addEventListener("blur", () => paintMap(canvas, dpr, m));
  $("map").replaceChildren(canvas);
  paintMap(canvas, dpr, m);
};
const cellAt = (event) => {
  const box = event.currentTarget.getBoundingClientRect(), x = Math.floor((event.clientX - box.left - grid.left) / grid.wide), y = Math.floor((event.clientY - box.top - grid.top) / grid.tall);
  if (y < 0 || y >= grid.shown.length || x >= grid.columns.length) return null;
  const layer = grid.shown[y], seen = MAPS[map].at(rows()[layer], Math.max(0, x));
  return seen ? { x: Math.max(0, x), y, layer, seen } : null;
};
const moveCursor = (e, canvas, dpr, m) => {
  const by = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1], PageDown: [0, 10], PageUp: [0, -10] }[e.key];
  if (e.key === "Enter" || e.key === " ") { e.preventDefault(); openLayer(grid.shown[cursor.y], canvas); return; }
  if (!by) return;
  e.preventDefault();
  cursor = { x: Math.min(grid.columns.length - 1, Math.max(0, cursor.x + by[0])), y: Math.min(grid.shown.length - 1, Math.max(0, cursor.y + by[1])) };
  paintMap(canvas, dpr, m);
  const seen = m.at(rows()[grid.shown[cursor.y]], cursor.x);
  $("map-hint").textContent = `${safe(D.names[grid.shown[cursor.y]])}: ${seen ? seen.words : "nothing"}`;
  const y = grid.top + cursor.y * grid.tall, box = $("map");
  if (y < box.scrollTop + 20) box.scrollTop = y - 60; else if (y > box.scrollTop + box.clientHeight - 40) box.scrollTop = y - box.clientHeight + 80;
};
const clipped = (pen, words, room) => {
  if (pen.measureText(words).width <= room) return words;
  let low = 1, high = words.length;
  while (low < high) { const half = (low + high + 1) >> 1; if (pen.measureText("…" + words.slice(-half)).width <= room) low = half; else high = half - 1; }
  return "…" + words.slice(-low);
};
const paintMap = (canvas, dpr, m) => {
  const pen = canvas.getContext("2d"), { shown, columns, left, top, wide, tall } = grid, nothing = hole();
  pen.setTransform(dpr, 0, 0, dpr, 0, 0);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  const size = Math.min(13, tall - 3);
  pen.font = `${size}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
  const gap = wide > 8 ? 1 : 0;
  shown.forEach((layer, y) => {
    const r = rows()[layer], at = top + y * tall;
    pen.fillStyle = ink("ink"); pen.textAlign = "right";
    pen.fillText(clipped(pen, safe(D.names[layer]), left - 12), left - 8, at + tall / 2);
    columns.forEach((_, x) => {
      const seen = m.at(r, x);
      if (!seen) return;
      const paint = colour(seen.bad);
      pen.fillStyle = paint ? css(paint) : nothing;
      pen.fillRect(left + x * wide, at, wide - gap, tall - (tall > 10 ? 1 : 0));
      if (!paint && wide > 7) { pen.strokeStyle = ink("quiet"); pen.globalAlpha = 0.35; pen.beginPath(); pen.moveTo(left + x * wide + 2, at + tall - 3); pen.lineTo(left + (x + 1) * wide - 3, at + 2); pen.stroke(); pen.globalAlpha = 1; }
    });
  });
  pen.fillStyle = ink("quiet"); pen.textAlign = "left"; pen.font = "11px system-ui, sans-serif";
  columns.forEach((name, x) => {
    if (!name) return;
    pen.save();
    pen.translate(left + (x + 0.5) * wide, top - 8);
    if (map !== 2) pen.rotate(-Math.PI / 3.4);
    pen.fillText(clipped(pen, safe(name), 172), 0, 0);
    pen.restore();
  });
  if (document.activeElement === canvas) { pen.strokeStyle = ink("accent"); pen.lineWidth = 2; pen.strokeRect(left + cursor.x * wide, top + cursor.y * tall, wide, tall); }
};
