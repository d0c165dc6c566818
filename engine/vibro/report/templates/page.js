/* Tables that sort, filters, jumps between the parts of the page, and the charts of its data block. */
const sortTables = () => {
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    for (const row of table.tBodies[0].rows) {
      [...row.cells].forEach((cell, i) => { cell.dataset.label = heads[i]?.textContent.trim() ?? ""; });
    }
    heads.forEach((head, column) => {
      if (!head.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") !== "descending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const value = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
        const numeric = head.classList.contains("n") || head.classList.contains("z");
        const compare = (a, b) => {
          if (!numeric) return value(a).localeCompare(value(b));
          const [x, y] = [parseFloat(value(a)), parseFloat(value(b))];
          if (isNaN(x) || isNaN(y)) return (isNaN(x) ? 1 : 0) * (down ? -1 : 1) - (isNaN(y) ? 1 : 0) * (down ? -1 : 1);
          return x - y;
        };
        const rows = [...table.tBodies[0].rows].sort(compare);
        table.tBodies[0].append(...(down ? rows.reverse() : rows));
      });
    });
  }
};

const drawCharts = (data) => {
  const { words } = data, axis = data.timed ? "time" : "linear";
  const when = (x) => (data.timed ? Charts.iso(x).slice(0, 19).replace("T", " ") : `${words.order} ${Math.round(x)}`);
  const trends = new Map(data.trends.map((trend) => [trend.code, trend]));
  const cases = new Map(data.cases.map((found) => [String(found.case), found]));
  const charts = new Map();
  let whole = null, scale = null;

  const opened = (trend) => {
    if (!trend.ready) {
      Object.assign(trend, { x: Charts.unpack(trend.x), y: Charts.unpack(trend.y), levels: Charts.unpack(trend.levels) });
      trend.strips = trend.covariates.map((one) => ({ name: one.name, y: Charts.unpack(one.y) }));
      trend.ready = true;
    }
    return trend;
  };
  const ends = () => {
    if (!whole) {
      whole = [Infinity, -Infinity];
      scale = [Infinity, -Infinity];
      for (const trend of trends.values()) {
        const { x, y, levels } = opened(trend);
        whole = [Math.min(whole[0], x[0]), Math.max(whole[1], x[x.length - 1])];
        y.forEach((v, i) => { if (v === v && levels[i] < 3) scale = [Math.min(scale[0], v), Math.max(scale[1], v)]; });
      }
      for (const v of Object.values(data.cuts)) if (v !== null) scale = [Math.min(scale[0], v), Math.max(scale[1], v)];
      const margin = 0.05 * (scale[1] - scale[0]) || 0.5;
      scale = [scale[0] - margin, scale[1] + margin];
    }
    return { whole, scale };
  };
  const openCase = (ident) => {
    const card = document.getElementById(`case-${ident}`);
    if (!card) return;
    for (let up = card; up; up = up.parentElement) if (up.tagName === "DETAILS") up.open = true;
    card.scrollIntoView();
    card.querySelector("summary").focus({ preventScroll: true });
  };

  const trendSpec = (code, mine) => {
    const trend = opened(trends.get(code)), spans = [];
    if (trend.fit) spans.push({ a: trend.fit[0], b: trend.fit[1], name: "fit" });
    for (const found of cases.values()) {
      if (found.span && found.machine === trend.machine) {
        spans.push({ a: found.span[0], b: found.span[1], name: found === mine ? "mine" : "other", ident: found.case });
      }
    }
    return {
      ...trend, spans, axis, unit: words.order, cuts: data.cuts, height: 150, ...(mine ? {} : { group: "time", ...ends() }),
      strips: mine || Charts.covariates ? trend.strips : [], here: mine?.x ?? undefined,
      say: (i) => `${when(trend.x[i])} · ${words[["normal", "attention", "alarm", "invalid", "indeterminate"][trend.levels[i]]]} · ${Charts.short(trend.y[i])}`,
      follow: (u, near) => {
        const hit = spans.find((span) => span.ident && u >= span.a - near && u <= span.b + near);
        if (hit) openCase(hit.ident);
      },
    };
  };
  /* The lines of the hypothesis; without any those that rose most. */
  const flags = (found, kind) => {
    const named = found.marks.filter((mark) => mark.where === kind);
    if (named.length || kind === "envelope") return named;
    const hz = (v) => (v < 100 ? Charts.short(v) : Math.round(v));
    return found.lines.map((line) => ({ hz: line.hz, text: `${hz(line.hz)} Hz +${Math.round(line.db)} dB` }));
  };
  const against = (chart, kind, found) => {
    const x = Charts.unpack(chart.x), y = Charts.unpack(chart.y), log = kind === "spectrum";
    const place = (hz) => (log ? Math.log10(hz) : hz), comb = [];
    if (log && data.mains) for (let n = 1; n <= 20 && n * data.mains < x[x.length - 1]; n++) comb.push(place(n * data.mains));
    const usual = chart.low && { band: [Charts.unpack(chart.low), Charts.unpack(chart.high)], middle: Charts.unpack(chart.middle) };
    return {
      x, y, ...usual, comb, axis: log ? "log" : "linear", name: "record", height: 190, label: `dB re (${data.unit})²`, unit: "Hz",
      flags: flags(found, kind).map((flag) => ({ u: place(flag.hz), text: flag.text })),
      say: (i) => `${Charts.short(x[i])} Hz · ${y[i].toFixed(1)} dB${usual ? ` (${usual.middle[i].toFixed(1)})` : ""}`,
    };
  };
  const waveform = (chart) => {
    const seconds = Charts.unpack(chart.x), y = Charts.unpack(chart.y), last = seconds[seconds.length - 1];
    const [factor, unit] = last < 2 ? [1000, "ms"] : [1, "s"];
    const x = seconds.map((s) => s * factor);
    return {
      x, y, axis: "linear", range: chart.range, name: "record", height: 150, label: data.unit, unit,
      say: (i) => `${Charts.short(x[i])} ${unit} · ${Charts.short(y[i])}`,
    };
  };
  const image = (chart) => {
    const values = Charts.unpack(chart.values), { columns, seconds, reach } = chart;
    const [factor, unit] = seconds < 2 ? [1000, "ms"] : [1, "s"];
    const x = Float64Array.from({ length: columns + 1 }, (_, i) => (i / columns) * seconds * factor);
    const loudest = (i) => {
      let row = 0;
      for (let k = 0; k * columns < values.length; k++) if (values[k * columns + i] > values[row * columns + i]) row = k;
      const [low, high] = chart.hz, hz = low * (high / low) ** ((row + 0.5) / (values.length / columns));
      return `${Math.round(hz)} Hz ${values[row * columns + i] < 128 ? "" : "+"}${((values[row * columns + i] - 128) / 127 * reach).toFixed(0)} dB`;
    };
    return {
      x, factor, axis: "linear", height: 190, label: "Hz", unit, image: { ...chart, values, attribution: Charts.unpack(chart.attribution?.values) },
      say: (i) => `${Charts.short(x[i])} ${unit} · ${loudest(Math.min(i, columns - 1))}`,
    };
  };
  const build = (place) => {
    const [kind, ident] = place.dataset.plot.split(":");
    if (kind === "trend") return trendSpec(Number(ident));
    const found = cases.get(ident);
    if (kind === "course") return trends.has(found.code) ? trendSpec(found.code, found) : null;
    const chart = found.charts[kind];
    return kind === "waveform" ? waveform(chart) : kind === "image" ? image(chart) : against(chart, kind, found);
  };
  const draw = (place) => {
    if (charts.has(place) || !place.clientWidth) return;
    const spec = build(place);
    if (!spec) return;
    charts.set(place, new Charts.Chart(place, spec));
    const reset = document.createElement("button");
    reset.type = "button";
    reset.className = "reset";
    reset.textContent = `↺ ${words.reset}`;
    reset.addEventListener("click", () => charts.get(place).show(null));
    place.after(reset);
    charts.get(place).draw();
  };
  const places = [...document.querySelectorAll("[data-plot]")];
  const watch = new IntersectionObserver((seen) => seen.forEach((one) => one.isIntersecting && draw(one.target)), {
    rootMargin: "300px",
  });
  for (const place of places) watch.observe(place);

  const folded = [];
  addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details.case:not([open]), details.remarks:not([open])")) {
      folded.push(one);
      one.open = true;
    }
    places.forEach(draw);
  });
  addEventListener("afterprint", () => { for (const one of folded.splice(0)) one.open = false; });

  document.addEventListener("whole", () => { for (const chart of charts.values()) if (chart.spec.group) chart.show(null); });
  const showTrend = (code, x) => {
    const panel = document.getElementById(`trend-${code}`);
    if (!panel) return;
    panel.hidden = false;
    panel.scrollIntoView({ block: "center" });
    const place = panel.querySelector("[data-plot]");
    draw(place);
    place.focus({ preventScroll: true });
    const chart = charts.get(place);
    if (chart && x !== undefined) chart.point(chart.at(x));
  };
  document.addEventListener("click", (event) => {
    const cell = event.target.closest?.("rect[data-sensor]"), link = event.target.closest?.("a[href^='#trend-'], a[href^='#case-']");
    if (cell) showTrend(cell.dataset.sensor, Number(cell.dataset.x));
    if (!link) return;
    event.preventDefault();
    const [kind, ident] = link.getAttribute("href").slice(1).split("-");
    if (kind === "trend") showTrend(ident); else openCase(ident);
  });
  for (const [name, set] of [
    ["linked", (on) => { Charts.linked = on; }],
    ["same-scale", (on) => { Charts.sameScale = on; }],
    ["covariates", (on) => { for (const [place, chart] of charts) if (place.dataset.plot.startsWith("trend")) chart.spec.strips = on ? trends.get(Number(place.dataset.plot.split(":")[1])).strips : []; Charts.covariates = on; }],
  ]) {
    const box = document.getElementById(name);
    if (!box) continue;
    set(box.checked);
    box.addEventListener("change", () => { set(box.checked); Charts.redraw(); });
  }
};

const filterPage = (words) => {
  const form = document.getElementById("filter");
  if (!form) return;
  const state = { machine: "", level: 0, sensor: "", range: null, panels: Number(form.dataset.panels) };
  const items = [...document.querySelectorAll("[data-machine]")];
  const more = document.getElementById("more-trends"), nothing = document.getElementById("nothing");
  const time = form.querySelector("[name=time]");
  const matches = (item) => {
    const { machine, level, sensors, since, until } = item.dataset;
    if (state.machine && machine !== state.machine) return false;
    if (level !== undefined && Number(level) < state.level) return false;
    if (sensors !== undefined && state.sensor && !sensors.toLowerCase().includes(state.sensor)) return false;
    return !state.range || since === undefined || since === "" || (Number(until) >= state.range[0] && Number(since) <= state.range[1]);
  };
  const apply = () => {
    let panels = 0, left = 0, shown = 0;
    for (const item of items) {
      const fits = matches(item), panel = item.classList.contains("panel");
      if (panel && fits) { panels += 1; if (panels > state.panels) left += 1; }
      item.hidden = !fits || (panel && panels > state.panels);
      shown += item.hidden ? 0 : 1;
    }
    if (more) { more.hidden = !left; more.querySelector("span").textContent = left; }
    nothing.hidden = shown > 0;
    time.hidden = !state.range;
    if (state.range) time.textContent = `${state.range.map((x) => (time.dataset.timed ? Charts.iso(x).slice(0, 16).replace("T", " ") : Math.round(x))).join(" – ")} ✕`;
  };
  form.addEventListener("input", () => {
    state.machine = form.querySelector("[name=machine]")?.value ?? "";
    state.level = Number(form.querySelector("[name=level]").value);
    state.sensor = form.querySelector("[name=sensor]").value.trim().toLowerCase();
    apply();
  });
  document.addEventListener("range", (event) => { state.range = event.detail; apply(); });
  time.addEventListener("click", () => document.dispatchEvent(new CustomEvent("whole")));
  more?.addEventListener("click", () => { state.panels += Number(form.dataset.panels); apply(); });
  apply();
};

sortTables();
const block = document.getElementById("data-block");
if (block) {
  const data = JSON.parse(block.textContent);
  drawCharts(data);
  if (document.getElementById("filter")) filterPage(data.words);
}
