"use strict";
// The page's own script: unpacks what is packed, filters and sorts the tables, draws the chart, shows what flipped.
(() => {
  const $ = (id) => document.getElementById(id);
  const hue = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  /** An element with properties and children; texts are texts, never markup. */
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  const unpack = (id) => {
    const bytes = Uint8Array.from(atob($(`packed-${id}`).textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  };

  // ---- Numbers as people read them ----

  const places = (value) => {
    const size = Math.abs(value);
    return size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 0.1 || size < 5e-7 ? 3 : size >= 0.001 ? 5 : 7;
  };
  const digits = (value, like = value) => value.toFixed(places(like));
  /** Of what lies between 0 and 1. */
  const share = (value) => value.toFixed(3);
  const bytes = (value) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let step = 0;
    for (; value >= 1024 && step < 4; step++) value /= 1024;
    return `${value.toFixed(step ? 1 : 0)} ${units[step]}`;
  };
  const signed = (text) => (Number(text) > 0 ? "+" : "") + text.replace("-", "−");
  const range = (low, high, write = digits) => (low == null || high == null ? "" : `${write(low)} to ${write(high)}`);

  // ---- What there is to draw ----

  let data;
  const TAKES = [
    { key: "file_bytes", label: "size of the file", write: bytes },
    { key: "bpw", label: "bits per weight", write: (v) => v.toFixed(2) },
    { key: "peak_rss_bytes", label: "peak memory", write: bytes },
    { key: "tg128_tps", label: "tokens/s generated", write: digits, higher: true },
    { key: "pp512_tps", label: "tokens/s read", write: digits, higher: true },
    { key: "usd_per_mtok_out", label: "$ a million output tokens", write: (v) => `$${digits(v)}` },
  ];

  /** Every axis, by its key, with the points that it has: variant to value, interval and n. */
  const axes = () => {
    const all = new Map();
    for (const axis of TAKES) {
      const points = new Map();
      for (const variant of data.variants) {
        if (variant[axis.key] != null) points.set(variant.name, { value: variant[axis.key] });
      }
      if (points.size) all.set(axis.key, { ...axis, group: "What it takes", points });
    }
    for (const row of data.values) {
      const key = `${row.suite}.${row.metric}`;
      if (!all.has(key)) {
        all.set(key, { key, label: key, group: row.suite, suite: row.suite, metric: row.metric, higher: row.higher, write: row.higher ? share : digits, points: new Map() });
      }
      all.get(key).points.set(row.variant, row);
    }
    return all;
  };

  /** Names of the points that no other beats: at least as good on both axes, and better on one. */
  const unbeaten = (points, x, y) => {
    const costs = points.map((p) => [x.higher ? -p.x : p.x, p.noise ? 0 : y.higher ? -p.y : p.y]);
    const beats = (a, b) => a[0] <= b[0] && a[1] <= b[1] && (a[0] < b[0] || a[1] < b[1]);
    return new Set(points.filter((_, i) => !costs.some((other) => beats(other, costs[i]))).map((p) => p.name));
  };

  // ---- Filters ----

  const memoryOf = (variant) => variant.peak_rss_bytes ?? variant.file_bytes;
  let memoryUnit = 2 ** 20;
  const numberIn = (id) => ($(id).value === "" ? null : Number($(id).value));

  const passing = () => {
    const [memory, speed] = [numberIn("memory"), numberIn("speed")];
    const ticked = new Set([...document.querySelectorAll("input[name=variant]:checked")].map((box) => box.value));
    const fits = (v) =>
      ticked.has(v.name) &&
      (memory == null || (memoryOf(v) != null && memoryOf(v) <= memory * memoryUnit)) &&
      (speed == null || (v.tg128_tps != null && v.tg128_tps >= speed));
    return new Set(data.variants.filter(fits).map((v) => v.name));
  };

  const filterTables = (passes) => {
    const suite = $("suite").value;
    for (const row of document.querySelectorAll("#tables tbody tr")) {
      const { variant, suite: own } = row.dataset;
      row.hidden = (variant != null && !passes.has(variant)) || (own != null && suite !== "" && own !== suite);
    }
    const summary = document.querySelector("#summary table");
    if (!summary) return;
    summary.querySelectorAll("th").forEach((head, place) => {
      const hidden = head.dataset.suite != null && suite !== "" && head.dataset.suite !== suite;
      for (const row of summary.rows) row.cells[place].hidden = hidden;
    });
  };

  // ---- Sorting ----

  const sortable = (table) => {
    [...table.tHead.rows[0].cells].forEach((head, place) => {
      const button = make("button", { type: "button" }, ...head.childNodes);
      head.replaceChildren(button);
      button.addEventListener("click", () => sort(table, head, place));
    });
  };
  const sort = (table, head, place) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const numeric = head.classList.contains("n");
    const key = (row) => (numeric ? Number(row.cells[place].dataset.key ?? NaN) : row.cells[place].textContent);
    const isEmpty = (value) => value === "" || Number.isNaN(value);
    const order = (a, b) => (numeric ? a - b : a.localeCompare(b, "en", { numeric: true }));
    const rows = [...table.tBodies[0].rows].map((row) => ({ row, key: key(row) }));
    // What is missing stays at the end, whichever way.
    rows.sort((a, b) => isEmpty(a.key) - isEmpty(b.key) || (isEmpty(a.key) ? 0 : order(a.key, b.key) * (down ? -1 : 1)));
    table.tBodies[0].append(...rows.map(({ row }) => row));
  };

  // ---- The chart ----

  let all, chart, shown = [], current = -1;

  const fillAxes = () => {
    const suite = $("suite").value;
    for (const [id, quality] of [["x", false], ["y", true]]) {
      const before = $(id).value;
      const groups = new Map();
      for (const axis of all.values()) {
        if (axis.suite && suite && axis.suite !== suite) continue;
        if (!groups.has(axis.group)) groups.set(axis.group, make("optgroup", { label: axis.group }));
        groups.get(axis.group).append(make("option", { value: axis.key, textContent: axis.label }));
      }
      const ordered = [...groups.values()];
      if (quality && ordered.length > 1) ordered.push(ordered.shift());
      $(id).replaceChildren(...ordered);
      const there = [...$(id).options].map((option) => option.value);
      const main = data.suites.find((s) => s.name === suite);
      const wanted = [before, quality ? main && `${main.name}.${main.main_metric}` : null, quality ? data.headline : "file_bytes", there[0]];
      $(id).value = wanted.find((key) => key != null && there.includes(key)) ?? "";
    }
  };

  const noisy = (variant, axis) =>
    axis.metric === "kld_mean" && data.differences.some((d) => d.noise && d.variant === variant && d.suite === axis.suite);

  const pointsOf = (x, y, passes) => {
    const points = [];
    for (const variant of data.variants) {
      const [across, up] = [x.points.get(variant.name), y.points.get(variant.name)];
      if (!across || !up || !passes.has(variant.name)) continue;
      points.push({ name: variant.name, x: across.value, y: up.value, across, up, variant, noise: noisy(variant.name, y) });
    }
    return points;
  };

  /** What is said of a point: lines of words. */
  const words = (point) => {
    const [x, y] = [all.get($("x").value), all.get($("y").value)];
    const own = (axis, of) => {
      const interval = range(of.low, of.high, axis.write);
      return `${axis.label}: ${axis.write(of.value)}${interval && ` (95% ${interval})`}${of.n ? `, n ${of.n}` : ""}`;
    };
    const sure = data.shares.find((s) => s.variant === point.name && s.axis === y.key);
    const lines = [own(y, point.up), own(x, point.across)];
    for (const axis of TAKES.slice(0, 4)) {
      const value = point.variant[axis.key];
      if (value != null && axis.key !== x.key && axis.key !== y.key) lines.push(`${axis.label}: ${axis.write(value)}`);
    }
    if (point.noise) lines.push("not to be told from the base: under the noise floor");
    lines.push(point.best ? "on the frontier of what is shown" : "not on the frontier of what is shown");
    if (x.key === "file_bytes" && sure?.share != null) lines.push(`on the frontier of all in ${Math.round(sure.share * 100)}% of the resamples`);
    return lines;
  };

  const tip = (point) => make("div", { className: "tip" }, make("b", {}, point.name), ...words(point).map((line) => make("div", {}, line)));

  const draw = () => {
    const [x, y] = [all.get($("x").value), all.get($("y").value)];
    const passes = passing();
    filterTables(passes);
    $("count").value = `${passes.size} of ${data.variants.length} variants shown.`;
    if (!x || !y) return;
    const logs = { x: $("log-x").checked, y: $("log-y").checked };
    const found = pointsOf(x, y, passes);
    const fits = (p) => (!logs.x || p.x > 0) && (!logs.y || p.y > 0);
    shown = found.filter(fits).sort((a, b) => a.x - b.x);
    current = -1;
    const best = unbeaten(found, x, y);
    for (const point of shown) point.best = best.has(point.name);
    const left = found.filter((p) => !fits(p)).map((p) => p.name);
    const baseName = data.variants[0]?.name;
    const base = y.points.get(baseName)?.value;
    const suite = data.suites.find((s) => s.name === y.suite);
    const floor = y.metric === "kld_mean" ? data.values.find((v) => v.suite === y.suite && v.metric === "kld_noise_floor")?.value : null;
    const levels = [];
    if (base != null && !(logs.y && base <= 0)) levels.push({ yAxis: base, name: baseName, lineStyle: { color: hue("base") } });
    if (suite?.chance > 0 && y.metric === suite.main_metric) levels.push({ yAxis: suite.chance, name: "chance", lineStyle: { color: hue("quiet"), type: "dotted" } });
    if (floor > 0) levels.push({ yAxis: floor, name: "noise floor", lineStyle: { color: hue("quiet"), type: "dotted" } });
    $("caption").textContent =
      `${y.label} (${y.higher ? "higher" : "lower"} is better) against ${x.label} (${x.higher ? "higher" : "lower"} is better). ` +
      `The line joins the frontier; whiskers are 95% intervals.${left.length ? ` Not on a log scale, because it is 0: ${left.join(", ")}.` : ""}` +
      `${suite?.partial ? ` Only part of the original: ${suite.partial}.` : ""}${suite?.no_signal ? " The base itself only guesses here: differences say nothing." : ""}`;
    fillPoints(x, y);
    // Without points there is nothing that levels could be compared with, nor a scale.
    paint(x, y, logs, shown.length ? levels : []);
  };

  const paint = (x, y, logs, levels) => {
    if (!chart) return;
    const [ink, quiet, grid] = [hue("ink"), hue("quiet"), hue("grid")];
    const narrow = $("drawing").clientWidth < 560;
    const whisker = (params, api) => {
      const point = shown[params.dataIndex];
      if (point?.up.low == null || point.up.high == null) return null;
      const low = logs.y ? Math.max(point.up.low, up.min) : point.up.low;
      const [px, top] = api.coord([point.x, point.up.high]);
      const bottom = api.coord([point.x, low])[1];
      const style = { stroke: hue(kindOf(point)), lineWidth: 1.2, opacity: 0.55 };
      const line = (x1, y1, x2, y2) => ({ type: "line", shape: { x1, y1, x2, y2 }, style, silent: true });
      return { type: "group", children: [line(px, top, px, bottom), line(px - 4, top, px + 4, top), line(px - 4, bottom, px + 4, bottom)] };
    };
    const axis = (of, log, values, vertical) => ({
      // Where nothing is above 0 there is nothing to draw, and a log scale would have no ends.
      type: log && values.some((value) => value > 0) ? "log" : "value",
      // Sizes, speeds and bits double from rung to rung; divergences grow by powers of ten.
      logBase: of.suite ? 10 : 2,
      name: of.label,
      nameLocation: vertical ? "end" : "middle",
      nameGap: vertical ? 12 : 32,
      nameTextStyle: { color: ink, fontSize: 13, align: vertical ? "left" : "center" },
      axisLabel: { color: quiet, formatter: (value) => of.write(value), hideOverlap: true, ...ends(of, log, values) },
      axisLine: { show: true, lineStyle: { color: quiet } },
      splitLine: { lineStyle: { color: grid } },
      ...extent(of, log, values, narrow ? 4 : 7),
    });
    const ups = shown.flatMap((p) => [p.y, p.up.low, p.up.high]).concat(levels.map((level) => level.yAxis));
    const across = axis(x, logs.x, shown.map((p) => p.x), false);
    const up = axis(y, logs.y, ups, true);
    const looks = { mark: "circle", second: "triangle", base: "diamond" };
    // The library rounds where a log scale begins to as many places as the data have, which may be to 0: they have all here.
    const exact = (value, log) => (log ? value * (1 + 1e-12) : value);
    const place = (p) => [exact(p.x, logs.x), exact(p.y, logs.y)];
    const item = (point) => ({
      name: point.name,
      value: place(point),
      symbol: looks[kindOf(point)],
      symbolSize: kindOf(point) === "base" ? 13 : 10,
      itemStyle: { color: hue(kindOf(point)), opacity: 1 },
      label: point.label ? { show: true, position: point.label[0], offset: [0, point.label[1]] } : { show: false },
    });
    chart.setOption(
      {
        animation: false,
        aria: { enabled: true, label: { description: $("caption").textContent } },
        grid: { left: narrow ? 8 : 24, right: narrow ? 12 : 30, top: 40, bottom: 34, containLabel: true },
        tooltip: {
          trigger: "item", confine: true, renderMode: "html", backgroundColor: "#ffffff", borderColor: "#b0b6bc",
          formatter: (params) => (shown[params.dataIndex] ? tip(shown[params.dataIndex]) : ""),
        },
        xAxis: across,
        yAxis: up,
        series: [
          { type: "line", data: shown.filter((p) => p.best).map(place), symbol: "none", silent: true, lineStyle: { color: hue("mark"), width: 2 }, z: 1,
            // What a size between two variants buys is the smaller one.
            step: x.higher ? "start" : "end" },
          { type: "custom", renderItem: whisker, data: shown.map(place), silent: true, z: 2 },
          {
            id: "points", type: "scatter", data: shown.map(item), z: 3,
            label: { formatter: (params) => params.name, color: ink, fontSize: 12, textBorderColor: hue("card"), textBorderWidth: 3 },
            emphasis: { scale: 1.5 },
            markLine: {
              // As they are: by default they are rounded to hundredths.
              precision: -1, symbol: "none", silent: true, data: levels, lineStyle: { type: "dashed" },
              label: { formatter: (params) => params.name, position: "insideStartTop", color: quiet },
            },
          },
        ],
      },
      { notMerge: true },
    );
    name();
    chart.setOption({ series: [{ id: "points", data: shown.map(item) }] });
  };

  const kindOf = (point) => (point.name === data.variants[0].name ? "base" : point.best ? "mark" : "second");

  /** A log scale ends between two round numbers: its ends are only told where too few of those lie inside. */
  const ends = (of, log, values) => {
    const usable = values.filter((v) => v > 0);
    const wide = log && Math.max(...usable) / Math.min(...usable) > (of.suite ? 1000 : 6);
    return wide ? { showMinLabel: false, showMaxLabel: false } : {};
  };

  /** Where an axis begins and ends, with some room, and how far apart its ticks are. */
  const extent = (of, log, values, count) => {
    const usable = values.filter((v) => v != null && (!log || v > 0));
    if (!usable.length) return {};
    const [least, most] = [Math.min(...usable), Math.max(...usable)];
    if (log) {
      const room = (most / least) ** 0.06 || 1;
      return { min: least / Math.max(room, 1.05), max: most * Math.max(room, 1.05) };
    }
    const room = (most - least) * 0.06 || Math.abs(most) * 0.1 || 1;
    const unit = of.write !== bytes ? 1 : most > 2 ** 32 ? 2 ** 30 : 2 ** 20;
    const raw = (most - least + 2 * room) / count / unit;
    const ten = 10 ** Math.floor(Math.log10(raw));
    const interval = unit * ten * [1, 2, 5, 10].find((times) => times * ten >= raw);
    const low = Math.floor((least - room) / interval) * interval;
    return { interval, min: least >= 0 ? Math.max(low, 0) : low, max: Math.ceil((most + room) / interval) * interval };
  };

  /** Beside a point, aside of a line that rises from left to right. */
  const PLACES = [["right", 11], ["left", -11], ["right", 0], ["left", 0], ["right", -11], ["left", 11], ["top", 0], ["bottom", 0]];

  /** Finds each name a free place beside its point, those on the frontier first; where there is none, pointing tells it. */
  const name = () => {
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = "12px sans-serif";
    const line = shown.filter((p) => p.best);
    const rises = line.length > 1 && line.at(-1).y > line[0].y;
    const places = PLACES.map(([side, shift]) => [side, rises ? shift : -shift]);
    const at = new Map(shown.map((p) => [p, chart.convertToPixel({ seriesId: "points" }, [p.x, p.y])]));
    const taken = shown.map((p) => [at.get(p)[0] - 6, at.get(p)[1] - 6, at.get(p)[0] + 6, at.get(p)[1] + 6]);
    const isFree = ([left, top, right, bottom]) =>
      left > 0 && right < chart.getWidth() && top > 22 && bottom < chart.getHeight() - 30 &&
      taken.every((other) => right < other[0] || left > other[2] || bottom < other[1] || top > other[3]);
    for (const p of [...shown].sort((a, b) => b.best - a.best)) {
      const [x, y] = at.get(p);
      const width = pen.measureText(p.name).width;
      const box = ([side, shift]) => {
        const left = side === "right" ? x + 10 : side === "left" ? x - 10 - width : x - width / 2;
        const middle = side === "top" ? y - 17 : side === "bottom" ? y + 17 : y + shift;
        return [left, middle - 6, left + width, middle + 6];
      };
      p.label = places.find((place) => isFree(box(place)));
      if (p.label) taken.push(box(p.label));
    }
  };

  const point = (place) => {
    if (!chart || !shown[place]) return;
    current = place;
    chart.dispatchAction({ type: "downplay", seriesId: "points" });
    chart.dispatchAction({ type: "highlight", seriesId: "points", dataIndex: place });
    chart.dispatchAction({ type: "showTip", seriesIndex: 2, dataIndex: place });
  };
  const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };
  const keys = (event) => {
    if (event.key === "Escape") chart?.dispatchAction({ type: "hideTip" });
    if (!(event.key in steps) || !shown.length) return;
    event.preventDefault();
    const next = current < 0 && steps[event.key] < 0 ? shown.length - 1 : current + steps[event.key];
    point((next + shown.length) % shown.length);
    $("spoken").textContent = `${shown[current].name}. ${words(shown[current]).join(". ")}`;
  };

  /** The chart for those who do not see it, and a way to its points by keyboard. */
  const fillPoints = (x, y) => {
    const table = document.querySelector("#points table");
    const head = (text, numeric) => make("th", { scope: "col", className: numeric ? "n" : "" }, text);
    table.tHead.replaceChildren(make("tr", {}, head("Variant"), head(x.label, true), head(y.label, true), head("95% interval"), head("n", true), head("Frontier")));
    const cell = (text, key) => {
      const made = make("td", { className: key == null ? "" : "n" }, text);
      if (key != null) made.dataset.key = key;
      return made;
    };
    const rows = shown.map((p, place) => {
      const name = make("button", { type: "button", className: "link" }, p.name);
      for (const event of ["focus", "mouseenter", "click"]) name.addEventListener(event, () => point(place));
      return make("tr", {}, make("td", {}, name), cell(x.write(p.x), p.x), cell(y.write(p.y), p.y), cell(range(p.up.low, p.up.high, y.write)), cell(String(p.up.n ?? ""), p.up.n ?? ""), cell(p.best ? "yes" : ""));
    });
    table.tBodies[0].replaceChildren(...rows);
    sortable(table);
  };

  const axisChanged = () => {
    // What a variant takes spreads over orders of magnitude, and so do divergences; scores do not.
    $("log-x").checked = !$("x").value.includes(".");
    $("log-y").checked = /\.kld/.test($("y").value);
    draw();
  };

  // ---- Suites, and what flipped ----

  const flipped = JSON.parse($("flipped").textContent);
  const PAGE = 20;
  let flips, listed = [], told = 0;

  const browse = async () => {
    const suite = data.suites.find((s) => s.name === $("browse").value);
    if (!suite) return;
    const metric = suite.n_unit === "tokens" ? "kld_mean" : suite.main_metric;
    const value = (variant) => data.values.find((v) => v.variant === variant && v.suite === suite.name && v.metric === metric);
    const difference = (variant) => data.differences.find((d) => d.variant === variant && d.suite === suite.name && d.metric === metric);
    const head = ["Variant", metric, "95% interval", "Difference", "95% interval", "Lost", "Won", "n", "Shown"];
    const write = suite.higher_is_better && metric === suite.main_metric ? share : digits;
    const minus = (delta) => signed(write(delta));
    const rows = data.variants.map(({ name }) => {
      const [own, other] = [value(name), difference(name)];
      const cells = [
        [name], [own ? write(own.value) : "", own?.value], [range(own?.low, own?.high, write)],
        [other?.delta == null ? "" : minus(other.delta), other?.delta], [range(other?.low, other?.high, minus)],
        [String(other?.lost ?? ""), other?.lost], [String(other?.won ?? ""), other?.won], [String(own?.n ?? ""), own?.n], [other?.shown ?? ""],
      ];
      return make("tr", {}, ...cells.map(([text, key], place) => {
        const cell = make("td", { className: [1, 3, 5, 6, 7].includes(place) ? "n" : "" }, text);
        if (key != null) cell.dataset.key = key;
        return cell;
      }));
    });
    const heads = head.map((text, place) => make("th", { scope: "col", className: [1, 3, 5, 6, 7].includes(place) ? "n" : "" }, text));
    const table = make("table", { className: "sortable" }, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows));
    sortable(table);
    const scroll = make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: `Variants on ${suite.name}` }, table);
    const facts = [
      suite.title, `${metric}, ${suite.higher_is_better && metric === suite.main_metric ? "higher" : "lower"} is better`,
      suite.chance == null ? "" : `chance ${digits(suite.chance)}`, suite.partial, suite.no_signal ? "no signal: the base only guesses" : "",
    ];
    $("suite-panel").replaceChildren(make("p", { className: "note" }, facts.filter(Boolean).join(" · ")), scroll);
    const place = flipped.indexOf(suite.name);
    $("flip-panel").hidden = true;
    flips = null;
    if (place < 0) {
      $("suite-panel").append(make("p", { className: "note" }, "No single questions are kept of it that could flip."));
      return;
    }
    const unpacked = JSON.parse(await unpack(`flips-${place}`));
    if ($("browse").value !== suite.name) return;
    flips = unpacked;
    $("flip-variant").replaceChildren(
      ...flips.variants.map((v) => make("option", { value: v.variant, textContent: `${v.variant}: ${v.lost} lost, ${v.won} won` })),
    );
    const most = flips.variants.findIndex((v) => v.shown.length > 0);
    $("flip-variant").selectedIndex = Math.max(most, 0);
    $("flip-panel").hidden = flips.variants.length === 0;
    list();
  };

  const list = () => {
    const variant = flips?.variants.find((v) => v.variant === $("flip-variant").value);
    if (!variant) return;
    const [direction, text] = [$("flip-direction").value, $("flip-text").value.toLowerCase()];
    listed = variant.shown
      .map((flip) => ({ ...flip, question: flips.items[flip.item], variant: variant.variant }))
      .filter((flip) => direction === "" || (direction === "lost") === flip.lost)
      .filter(({ question: q, answer }) => text === "" || [q.id, q.prompt, q.right, q.base, answer].some((t) => t.toLowerCase().includes(text)));
    const every = variant.lost + variant.won;
    const kept = variant.shown.length;
    $("flip-count").textContent =
      `${listed.length} listed; ${every} flipped (${variant.lost} lost, ${variant.won} won)` +
      (kept < every ? `, of which the first ${kept} are kept here. All: items/${variant.trial}.csv.gz.` : ".");
    $("flips").replaceChildren();
    told = 0;
    more();
  };

  const block = (title, text) => make("div", {}, make("h4", {}, title), make("pre", { tabIndex: 0, role: "region", ariaLabel: title }, text || "(empty)"));

  const more = () => {
    for (const flip of listed.slice(told, told + PAGE)) {
      const { question } = flip;
      const also = flips.variants.filter((v) => v.variant !== flip.variant && v.shown.some((s) => s.item === flip.item)).map((v) => v.variant);
      const details = make("details", { className: "flip" }, make("summary", {}, make("b", {}, question.id), " ", make("span", {}, flip.lost ? "lost: right in the base" : "won: wrong in the base")));
      // Texts are put in when they are looked at.
      details.addEventListener("toggle", () => {
        if (details.childElementCount > 1) return;
        details.append(
          block("Question", question.prompt),
          make("div", { className: "sides" }, block(`${data.variants[0].name}: ${flip.lost ? "right" : "wrong"}`, question.base), block(`${flip.variant}: ${flip.lost ? "wrong" : "right"}`, flip.answer)),
        );
        if (question.right) details.append(block("Right", question.right));
        if (also.length) details.append(make("p", { className: "note" }, `It also flipped in ${also.join(", ")}.`));
      });
      $("flips").append(details);
    }
    told = Math.min(told + PAGE, listed.length);
    $("more").hidden = told >= listed.length;
  };

  // ---- Figures, colours, beginning ----

  const showFigures = async () => {
    for (const image of document.querySelectorAll("img[data-packed]")) {
      image.src = URL.createObjectURL(new Blob([await unpack(image.dataset.packed)], { type: "image/svg+xml" }));
      await image.decode();
      const [frame, figure] = [image.parentElement, image.closest("figure")];
      frame.addEventListener("click", () => frame.setAttribute("aria-expanded", figure.classList.toggle("large")));
    }
    document.documentElement.dataset.figures = "yes";
  };

  const THEMES = [["", "as the system"], ["light", "light"], ["dark", "dark"]];
  const nextTheme = () => {
    const root = document.documentElement;
    const place = THEMES.findIndex(([name]) => name === (root.dataset.theme ?? ""));
    const [name, words] = THEMES[(place + 1) % THEMES.length];
    if (name) root.dataset.theme = name;
    else delete root.dataset.theme;
    $("theme").textContent = `Colours: ${words}`;
    draw();
  };

  const startChart = async () => {
    const script = make("script", { textContent: await unpack("library") });
    document.head.append(script);
    $("chart").hidden = false;
    chart = echarts.init($("drawing"), null, { renderer: "svg" });
    draw();
    new ResizeObserver(() => {
      chart.resize();
      draw();
    }).observe($("chart"));
  };

  const prepareFilters = () => {
    const most = Math.max(0, ...data.variants.map((v) => memoryOf(v) ?? 0));
    if (most > 4 * 2 ** 30) memoryUnit = 2 ** 30;
    $("memory-unit").textContent = memoryUnit === 2 ** 30 ? "GiB" : "MiB";
    const tick = (checked) => () => {
      for (const box of document.querySelectorAll("input[name=variant]")) box.checked = checked;
      draw();
    };
    $("all").addEventListener("click", tick(true));
    $("none").addEventListener("click", tick(false));
    for (const id of ["memory", "speed", "log-x", "log-y"]) $(id).addEventListener("input", draw);
    for (const box of document.querySelectorAll("input[name=variant]")) box.addEventListener("input", draw);
    for (const id of ["x", "y"]) $(id).addEventListener("input", axisChanged);
    $("suite").addEventListener("input", () => {
      $("y").value = "";
      fillAxes();
      axisChanged();
      if ($("suite").value) {
        $("browse").value = $("suite").value;
        browse();
      }
    });
    $("filters").addEventListener("submit", (event) => event.preventDefault());
    $("chart").addEventListener("keydown", keys);
  };

  /** On paper nothing can be opened. */
  const preparePrint = () => {
    let opened = [];
    addEventListener("beforeprint", () => {
      opened = [...document.querySelectorAll("main details:not([open], .flip, #manifest)")];
      for (const details of opened) details.open = true;
    });
    addEventListener("afterprint", () => opened.forEach((details) => (details.open = false)));
    matchMedia("print").addEventListener("change", draw);
  };

  const start = async () => {
    if (typeof DecompressionStream === "undefined") throw new Error("this browser cannot unpack what is in the page; the tables can be read");
    data = JSON.parse(await unpack("data"));
    all = axes();
    document.querySelectorAll("#tables table.sortable").forEach(sortable);
    fillAxes();
    prepareFilters();
    preparePrint();
    for (const id of ["filters", "theme", "points", "suite-controls"]) $(id).hidden = false;
    axisChanged();
    $("theme").addEventListener("click", nextTheme);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    $("minor")?.addEventListener("input", (event) => $("comparisons").classList.toggle("minors", event.target.checked));
    $("browse").addEventListener("input", browse);
    for (const id of ["flip-variant", "flip-direction", "flip-text"]) $(id).addEventListener("input", list);
    $("more").addEventListener("click", more);
    $("manifest").addEventListener("toggle", async () => {
      const text = $("manifest").querySelector("pre");
      if (!text.textContent) text.textContent = await unpack("manifest");
    });
    await Promise.all([startChart(), browse()]);
    document.documentElement.dataset.ready = "yes";
    await showFigures();
  };

  start().catch((error) => {
    $("trouble").textContent = `Part of this page does not work: ${error.message}`;
    $("trouble").hidden = false;
  });
})();
