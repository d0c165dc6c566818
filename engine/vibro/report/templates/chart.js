"use strict";
/* Charts: packed numbers drawn to the width of their place, with zoom, pan and hover by mouse, touch and keyboard. */
const Charts = (() => {
  const NOTHING = -32768;
  const LEVELS = ["normal", "attention", "alarm", "invalid", "indeterminate"];
  const NS = document.createRange().createContextualFragment("<svg></svg>").firstElementChild.namespaceURI;
  const groups = new Map();

  function unpack(p) {
    if (!p) return null;
    if (p.count) return Float64Array.from({ length: p.count }, (_, i) => p.offset + i * p.step);
    const raw = Uint8Array.from(atob(p.u8 ?? p.i16 ?? p.i32), (c) => c.charCodeAt(0));
    if (p.u8 !== undefined) return raw;
    if (p.i32 !== undefined) return Float64Array.from(new Int32Array(raw.buffer), (v) => p.offset + v * p.step);
    return Float64Array.from(new Int16Array(raw.buffer), (v) => (v === NOTHING ? NaN : p.offset + v * p.step));
  }

  function el(name, attributes, text) {
    const node = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return node;
  }

  const short = (v) => {
    if (!Number.isFinite(v)) return "–";
    const size = Math.abs(v);
    if (size >= 1e5 || (size > 0 && size < 1e-3)) return v.toExponential(1);
    return String(Number(v.toPrecision(size >= 1000 ? 5 : 3)));
  };

  function evenTicks(a, b, most) {
    const rough = (b - a) / Math.max(1, most), power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
    const found = [];
    for (let i = Math.ceil(a / step); i <= Math.floor(b / step + 1e-9); i++) found.push(Number((i * step).toPrecision(12)));
    return found.map((v) => [v, short(v)]);
  }

  function logTicks(a, b, most) {
    const found = [];
    for (let k = Math.floor(a); k <= Math.ceil(b); k++) {
      for (const m of (b - a) * 3 <= most ? [1, 2, 5] : [1]) found.push(Math.log10(m) + k);
    }
    return found.filter((v) => v >= a && v <= b).map((v) => [v, short(Number((10 ** v).toPrecision(3)))]);
  }

  const STEPS = [1, 5, 15, 60, 300, 900, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 432000, 864000, 1296000];
  const iso = (seconds) => new Date(seconds * 1000).toISOString();

  function timeTicks(a, b, most) {
    const step = STEPS.find((s) => (b - a) / s <= most), found = [];
    if (step) {
      for (let v = Math.ceil(a / step) * step; v <= b; v += step) {
        const t = iso(v), clock = t.slice(11, step < 60 ? 19 : 16);
        found.push([v, step >= 86400 ? t.slice(0, 10) : b - a > 86400 ? `${t.slice(5, 10)} ${clock}` : clock]);
      }
      return found;
    }
    const months = Math.ceil((b - a) / 86400 / 30.4 / most), start = new Date(a * 1000);
    for (let k = start.getUTCFullYear() * 12 + start.getUTCMonth() + 1; ; k++) {
      if (k % months) continue;
      const v = Date.UTC(Math.floor(k / 12), k % 12, 1) / 1000;
      if (v > b) return found;
      if (v >= a) found.push([v, iso(v).slice(0, 7)]);
    }
  }

  const TICKS = { time: timeTicks, log: logTicks, linear: evenTicks };

  /* spec: x, y and what lies behind them as arrays; axis "time", "log" or "linear"; group: charts that share their range. */
  class Chart {
    constructor(place, spec) {
      this.place = place;
      this.spec = spec;
      this.u = spec.axis === "log" ? spec.x.map(Math.log10) : spec.x;
      const [first, last] = [this.u[0], this.u[this.u.length - 1]];
      this.own = last > first ? [first, last] : [first - 0.5, first + 0.5];
      this.range = null;
      if (spec.group) {
        if (!groups.has(spec.group)) groups.set(spec.group, new Set());
        groups.get(spec.group).add(this);
      }
      this.listen();
      new ResizeObserver(() => this.place.clientWidth !== this.width && this.draw()).observe(place);
    }

    get whole() {
      return (Charts.linked && this.spec.whole) || this.own;
    }

    view() {
      return this.range ?? this.whole;
    }

    /* A new range in this chart and those that share it; null is the whole. */
    show(range) {
      const [a, b] = this.whole, least = (b - a) * 1e-5;
      if (range) {
        let [low, high] = range;
        const wide = Math.min(b - a, Math.max(least, high - low));
        low = Math.min(Math.max(a, low), b - wide);
        high = low + wide;
        range = wide >= (b - a) * 0.9999 ? null : [low, high];
      }
      const members = this.spec.group && Charts.linked ? groups.get(this.spec.group) : [this];
      for (const chart of members) {
        chart.range = range;
        if (chart.width) chart.draw();
      }
      if (this.spec.group) document.dispatchEvent(new CustomEvent("range", { detail: range }));
    }

    draw() {
      const { spec, place } = this;
      const w = place.clientWidth;
      if (!w) return;
      this.width = w;
      const extra = spec.strips?.length ? spec.strips.length * 34 : 0;
      const h = (spec.height ?? 170) + extra;
      const box = { left: 46, right: w - 10, top: spec.label ? 20 : 8, base: h - 24 - extra };
      this.box = box;
      const [a, b] = this.view();
      this.at = (u) => box.left + ((u - a) / (b - a)) * (box.right - box.left);
      this.back = (x) => a + ((x - box.left) / (box.right - box.left)) * (b - a);
      const first = Math.max(0, this.index(a) - 1), last = Math.min(this.u.length, this.index(b) + 1);
      const [low, high] = this.rise(first, last);
      const up = (v) => box.base - ((v - low) / (high - low)) * (box.base - box.top);
      this.up = up;
      if (spec.image) this.paint(a, b);
      const svg = el("svg", { width: w, height: h, viewBox: `0 0 ${w} ${h}`, "aria-hidden": "true" });
      const clip = `clip-${(Charts.count = (Charts.count ?? 0) + 1)}`;
      const frame = el("clipPath", { id: clip });
      frame.append(el("rect", { x: box.left, y: box.top - 6, width: box.right - box.left, height: box.base - box.top + 6 }));
      svg.append(frame);
      const inside = el("g", { "clip-path": `url(#${clip})` });
      const line = (x1, x2, y1, y2, name) => el("line", { x1, x2, y1, y2, class: name });
      for (const span of spec.spans ?? []) {
        const x = this.at(span.a), wide = Math.max(3, this.at(span.b) - x);
        inside.append(el("rect", { x, y: box.top - 6, width: wide, height: box.base - box.top + 6, class: `span ${span.name}` }));
      }
      for (const [v, label] of (spec.image ? logTicks : evenTicks)(low, high, (box.base - box.top) / 28)) {
        svg.append(line(box.left, box.right, up(v), up(v), "grid"), el("text", { x: box.left - 6, y: up(v) + 4, class: "tick end" }, label));
      }
      for (const u of spec.comb ?? []) if (u > a && u < b) inside.append(line(this.at(u), this.at(u), box.top, box.base, "comb"));
      if (spec.range) for (const v of spec.range) inside.append(line(box.left, box.right, up(v), up(v), "usual"));
      if (spec.band) inside.append(el("path", { d: this.ribbon(spec.band, first, last), class: "band" }));
      for (const [name, v] of Object.entries(spec.cuts ?? {})) {
        if (v !== null) inside.append(line(box.left, box.right, up(v), up(v), `cut ${name}`));
      }
      if (spec.middle) inside.append(el("path", { d: this.trace(spec.middle, first, last, up), class: "line median" }));
      if (spec.y) inside.append(el("path", { d: this.trace(spec.y, first, last, up), class: `line ${spec.name ?? ""}` }));
      if (spec.levels) this.marks(inside, first, last);
      if (spec.image?.attribution) this.outline(inside, low, high);
      if (spec.here !== undefined) inside.append(line(this.at(spec.here), this.at(spec.here), box.top, box.base, "here"));
      svg.append(inside, line(box.left, box.right, box.base, box.base, "axis"));
      this.flags(svg, a, b);
      const bottom = h - 24;
      this.strips(svg, first, last);
      const most = (box.right - box.left) / (spec.axis === "time" ? 92 : 62);
      let free = -Infinity;
      for (const [u, label] of TICKS[spec.axis](a, b, most)) {
        svg.append(line(this.at(u), this.at(u), bottom, bottom + 4, "axis"));
        const end = this.at(u) > box.right - 28 ? " end" : " middle", wide = 7 * label.length;
        const from = end === " end" ? box.right - wide : this.at(u) - wide / 2;
        if (from < free) continue;
        free = from + wide + 4;
        svg.append(el("text", { x: end === " end" ? box.right : this.at(u), y: bottom + 16, class: `tick${end}` }, label));
      }
      const unit = spec.axis === "time" ? (b - a < 86400 ? `${iso(a).slice(0, 10)} UTC` : "") : spec.unit;
      if (unit) svg.append(el("text", { x: box.right, y: box.base - 5, class: "axis-label end halo" }, unit));
      if (spec.label) svg.append(el("text", { x: 0, y: 11, class: "axis-label" }, spec.label));
      this.pointer = el("g", { class: "pointer" });
      svg.append(this.pointer);
      place.querySelector("svg")?.remove();
      place.prepend(svg);
      place.classList.toggle("zoomed", this.range !== null);
    }

    /* The image behind the axes, from place a to b: blue below, orange above. */
    paint(a, b) {
      const { columns, values, seconds } = this.spec.image, rows = values.length / columns, { box, place } = this;
      if (!this.picture) {
        const style = getComputedStyle(document.documentElement);
        const colour = (name) => style.getPropertyValue(name).trim().match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16));
        const [none, above, below] = ["--page", "--alarm", "--normal"].map(colour);
        const whole = new ImageData(columns, rows);
        values.forEach((v, i) => {
          const share = (v - 128) / 127, to = share > 0 ? above : below, at = 4 * ((rows - 1 - Math.floor(i / columns)) * columns + (i % columns));
          for (let k = 0; k < 3; k++) whole.data[at + k] = none[k] + (to[k] - none[k]) * Math.min(1, Math.abs(share));
          whole.data[at + 3] = 255;
        });
        this.picture = Object.assign(document.createElement("canvas"), { width: columns, height: rows });
        this.picture.getContext("2d").putImageData(whole, 0, 0);
      }
      const canvas = place.querySelector("canvas") ?? place.appendChild(document.createElement("canvas"));
      Object.assign(canvas, { width: Math.round(box.right - box.left), height: Math.round(box.base - box.top) });
      const brush = canvas.getContext("2d"), scale = columns / (seconds * this.spec.factor);
      brush.imageSmoothingEnabled = false;
      brush.drawImage(this.picture, a * scale, 0, (b - a) * scale, rows, 0, 0, canvas.width, canvas.height);
      canvas.style.left = `${box.left}px`;
      canvas.style.top = `${box.top}px`;
    }

    /* Around the places that a detector finds most unlike what it learned: half of the largest value, and dotted a quarter. */
    outline(inside, low, high) {
      const { attribution, columns, values } = this.spec.image, rows = values.length / columns;
      const x = (i) => this.at(this.u[i]).toFixed(1), y = (r) => this.up(low + (r / rows) * (high - low)).toFixed(1);
      for (const [least, name] of [[64, "quarter"], [128, "half"]]) {
        const strong = (r, i) => r >= 0 && r < rows && i >= 0 && i < columns && attribution[r * columns + i] >= least;
        const path = [];
        for (let r = 0; r < rows; r++) {
          for (let i = 0; i < columns; i++) {
            if (!strong(r, i)) continue;
            if (!strong(r, i - 1)) path.push(`M${x(i)} ${y(r)}V${y(r + 1)}`);
            if (!strong(r, i + 1)) path.push(`M${x(i + 1)} ${y(r)}V${y(r + 1)}`);
            if (!strong(r - 1, i)) path.push(`M${x(i)} ${y(r)}H${x(i + 1)}`);
            if (!strong(r + 1, i)) path.push(`M${x(i)} ${y(r + 1)}H${x(i + 1)}`);
          }
        }
        const d = path.join("") || "M0 0";
        inside.append(el("path", { d, class: "outline behind" }), el("path", { d, class: `outline ${name}` }));
      }
    }

    /* The lowest and highest value to be drawn between two indices. */
    rise(first, last) {
      const { spec } = this;
      if (spec.image) return spec.image.hz.map(Math.log10);
      if (spec.scale && Charts.sameScale) return spec.scale;
      let low = Infinity, high = -Infinity;
      const take = (v) => { if (v < low) low = v; if (v > high) high = v; };
      for (const values of [spec.y, spec.band?.[0], spec.band?.[1]]) {
        if (values) for (let i = first; i < last; i++) if (!(spec.levels?.[i] > 2)) take(values[i]);
      }
      for (const v of [...Object.values(spec.cuts ?? {}), ...(spec.range ?? [])]) if (v !== null) take(v);
      if (!(high >= low)) return [0, 1];
      const margin = 0.05 * (high - low) || 0.5;
      return [low - margin, high + margin];
    }

    /* First index whose place is not below u. */
    index(u) {
      let low = 0, high = this.u.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (this.u[middle] < u) low = middle + 1; else high = middle;
      }
      return low;
    }

    /* A line through the values; where they are dense, from the lowest to the highest of each pixel. */
    trace(values, first, last, up) {
      const bad = (i) => Number.isNaN(values[i]) || (values === this.spec.y && this.spec.levels?.[i] > 2);
      const points = [];
      let pen = "M";
      const to = (x, y) => { points.push(`${pen}${x.toFixed(1)} ${y.toFixed(1)}`); pen = "L"; };
      if (last - first <= 3 * this.width) {
        for (let i = first; i < last; i++) {
          if (bad(i)) { pen = "M"; continue; }
          to(this.at(this.u[i]), up(values[i]));
        }
        return points.join("") || "M0 0";
      }
      let column = null, low = 0, high = 0;
      const flush = () => { if (column !== null) { to(column, up(low)); to(column + 0.5, up(high)); } };
      for (let i = first; i < last; i++) {
        if (bad(i)) continue;
        const x = Math.round(this.at(this.u[i]));
        if (x !== column) { flush(); column = x; low = high = values[i]; }
        low = Math.min(low, values[i]);
        high = Math.max(high, values[i]);
      }
      flush();
      return points.join("") || "M0 0";
    }

    ribbon([low, high], first, last) {
      const there = [], back = [];
      for (let i = first; i < last; i++) {
        const x = this.at(this.u[i]).toFixed(1);
        there.push(`${x} ${this.up(high[i]).toFixed(1)}`);
        back.unshift(`${x} ${this.up(low[i]).toFixed(1)}`);
      }
      return there.length ? `M${there.join("L")}L${back.join("L")}Z` : "M0 0";
    }

    /* A mark for what is not normal, the most urgent of each pixel. */
    marks(inside, first, last) {
      const { spec, box } = this, urgency = [0, 2, 3, 1, 0], worst = new Map();
      for (let i = first; i < last; i++) {
        const x = Math.round(this.at(this.u[i]) / 2), level = spec.levels[i], other = worst.get(x);
        if (!urgency[level]) continue;
        const more = other === undefined ? 1 : urgency[level] - urgency[spec.levels[other]] || spec.y[i] - spec.y[other];
        if (more > 0) worst.set(x, i);
      }
      for (const i of worst.values()) {
        const level = spec.levels[i], x = this.at(this.u[i]), s = 3.6;
        const y = level > 2 || Number.isNaN(spec.y[i]) ? box.base - 5 : this.up(spec.y[i]);
        const shape = { 2: `M${x} ${y - s}l${s} ${1.8 * s}h${-2 * s}z`, 1: `M${x} ${y - s}l${s} ${s}l${-s} ${s}l${-s} ${-s}z`,
          3: `M${x - 3} ${y - 3}l6 6m-6 0l6 -6` }[level];
        inside.append(el("path", { d: shape, class: `mark ${LEVELS[level]}` }));
      }
    }

    /* Lines that are pointed out, the first of them first, with their names where there is room. */
    flags(svg, a, b) {
      const { spec, box } = this, taken = [];
      for (const flag of spec.flags ?? []) {
        if (flag.u < a || flag.u > b) continue;
        const x = this.at(flag.u);
        svg.append(el("line", { x1: x, x2: x, y1: box.top, y2: box.base, class: "flag" }));
        const wide = 8 * flag.text.length, end = x + wide > box.right, from = end ? x - wide : x;
        if (taken.some((other) => from < other.to + 8 && other.from < from + wide + 8)) continue;
        svg.append(el("text", { x: end ? x - 4 : x + 4, y: box.top + 10, class: `flag-label${end ? " end" : ""}` }, flag.text));
        taken.push({ from, to: from + wide });
      }
    }

    /* Further series below, each on a scale of its own. */
    strips(svg, first, last) {
      (this.spec.strips ?? []).forEach((strip, k) => {
        const top = this.box.base + 10 + 34 * k, height = 22;
        let low = Infinity, high = -Infinity;
        for (let i = first; i < last; i++) { if (strip.y[i] < low) low = strip.y[i]; if (strip.y[i] > high) high = strip.y[i]; }
        if (!(high > low)) [low, high] = [(low || 0) - 0.5, (low || 0) + 0.5];
        const up = (v) => top + height - ((v - low) / (high - low)) * height;
        svg.append(el("path", { d: this.trace(strip.y, first, last, up), class: "line covariate" }));
        svg.append(el("text", { x: this.box.left - 6, y: top + 5, class: "tick end" }, short(high)));
        svg.append(el("text", { x: this.box.left - 6, y: top + height + 4, class: "tick end" }, short(low)));
        svg.append(el("text", { x: this.box.left + 4, y: top + 5, class: "tick halo" }, strip.name));
      });
    }

    listen() {
      const { place } = this;
      let from = null, pan = null;
      const x = (event) => event.clientX - place.getBoundingClientRect().left;
      place.addEventListener("pointerdown", (event) => {
        if (event.button || !this.box || x(event) < this.box.left) return;
        place.setPointerCapture?.(event.pointerId);
        from = x(event);
        pan = event.shiftKey ? { view: this.view(), at: from } : null;
      });
      place.addEventListener("pointermove", (event) => {
        if (pan) {
          const [a, b] = pan.view, by = ((pan.at - x(event)) / (this.box.right - this.box.left)) * (b - a);
          this.show([a + by, b + by]);
        } else {
          this.point(x(event), from);
        }
      });
      place.addEventListener("pointerup", (event) => {
        if (from !== null && !pan) {
          const to = Math.min(Math.max(x(event), this.box.left), this.box.right);
          if (Math.abs(to - from) > 6) this.show([this.back(Math.min(from, to)), this.back(Math.max(from, to))]);
          else this.spec.follow?.(this.back(to), (this.back(to + 4) - this.back(to)));
        }
        from = pan = null;
        this.point(x(event), null);
      });
      place.addEventListener("pointercancel", () => { from = pan = null; });
      place.addEventListener("pointerleave", () => { if (from === null) this.point(null); });
      place.addEventListener("dblclick", () => this.show(null));
      place.addEventListener("wheel", (event) => {
        if (!event.ctrlKey) return;
        event.preventDefault();
        this.zoom(event.deltaY < 0 ? 0.7 : 1 / 0.7, this.back(x(event)));
      }, { passive: false });
      place.addEventListener("keydown", (event) => {
        const [a, b] = this.view(), step = 0.2 * (b - a);
        const keys = {
          "+": () => this.zoom(0.6), "=": () => this.zoom(0.6), "-": () => this.zoom(1 / 0.6),
          ArrowLeft: () => this.show([a - step, b - step]), ArrowRight: () => this.show([a + step, b + step]),
          0: () => this.show(null), Escape: () => this.show(null),
        };
        if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
        event.preventDefault();
        keys[event.key]();
      });
    }

    zoom(factor, around) {
      const [a, b] = this.view(), centre = around ?? (a + b) / 2;
      this.show([centre - (centre - a) * factor, centre + (b - centre) * factor]);
    }

    /* What lies under the pointer, or the stretch that is being chosen. */
    point(x, from = null) {
      let tip = this.place.querySelector(".tip");
      if (!this.pointer) return;
      this.pointer.replaceChildren();
      if (x === null || !this.box || x < this.box.left - 4 || x > this.box.right + 4) { tip?.remove(); return; }
      const { box, spec } = this;
      if (from !== null && Math.abs(x - from) > 3) {
        const [a, b] = [Math.min(from, x), Math.max(from, x)];
        this.pointer.append(el("rect", { x: a, y: box.top, width: b - a, height: box.base - box.top, class: "chosen" }));
      }
      const u = this.back(x), near = this.index(u);
      const i = near > 0 && (near === this.u.length || u - this.u[near - 1] < this.u[near] - u) ? near - 1 : near;
      const place = this.at(this.u[i]);
      this.pointer.append(el("line", { x1: place, x2: place, y1: box.top, y2: box.base, class: "cross" }));
      if (spec.y && !Number.isNaN(spec.y[i])) this.pointer.append(el("circle", { cx: place, cy: this.up(spec.y[i]), r: 3.5, class: "dot" }));
      if (!tip) {
        tip = document.createElement("div");
        tip.className = "tip";
        this.place.append(tip);
      }
      tip.textContent = spec.say(i);
      const left = place + 12 + tip.offsetWidth > this.width ? place - 12 - tip.offsetWidth : place + 12;
      tip.style.left = `${Math.max(0, left)}px`;
      tip.style.top = `${box.top}px`;
    }
  }

  /* Other scales, links or strips: everything that was drawn is drawn again. */
  function redraw() {
    for (const members of groups.values()) {
      for (const chart of members) {
        if (Charts.linked !== chart.linked) chart.range = null;
        chart.linked = Charts.linked;
        if (chart.width) chart.draw();
      }
    }
  }

  return { Chart, unpack, short, iso, redraw, linked: true, sameScale: false };
})();
