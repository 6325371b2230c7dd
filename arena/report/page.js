"use strict";
// Draws the plots from the data in the page, keeps the legends of all plots in step, and sorts tables.
(() => {
  const { contenders, plots } = JSON.parse(document.getElementById("report-data").textContent);
  const config = { responsive: true, displaylogo: false, showSendToCloud: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
  const hidden = new Set();

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  function layoutOf(view, plot) {
    const text = colour("text"), line = colour("line");
    const layout = structuredClone({ ...plot.layout, ...view.layout });
    const isNarrow = innerWidth < 640;
    for (const name of ["xaxis", "yaxis", ...(layout.yaxis2 ? ["yaxis2"] : [])]) {
      if (isNarrow) thin(layout[name]);
      layout[name] = { gridcolor: line, linecolor: line, zerolinecolor: line, automargin: true, fixedrange: isNarrow, ...layout[name] };
    }
    return {
      ...layout,
      showlegend: false,
      hovermode: "closest",
      dragmode: isNarrow ? false : "zoom",
      margin: { l: 52, r: 12, t: 12, b: 44 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12, color: text },
      hoverlabel: { bgcolor: colour("raised"), bordercolor: line, font: { color: text }, namelength: -1 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("quiet"), activecolor: text },
    };
  }

  // Leaves out labels that would run into the one before them on a narrow screen.
  function thin(axis) {
    if (!axis?.ticktext || axis.type === "log") return;
    const room = 0.08 * (Math.max(...axis.tickvals) - Math.min(...axis.tickvals));
    let last = -Infinity;
    axis.ticktext = axis.ticktext.map((label, i) => {
      if (axis.tickvals[i] - last < room) return "";
      last = axis.tickvals[i];
      return label;
    });
  }

  function draw(plot) {
    const section = document.getElementById(`plot-${plot.name}`);
    const key = [...section.querySelectorAll("select")].map((select) => select.value).join("/");
    const view = plot.views[key];
    const target = section.querySelector(".plot"), empty = section.querySelector(".empty");
    target.hidden = view.traces.length === 0;
    empty.hidden = view.traces.length > 0;
    empty.textContent = view.empty || "";
    const hasIntervals = section.querySelector(".intervals")?.checked;
    const isShown = (trace) => !hidden.has(trace.meta) && (hasIntervals || trace.legendgroup !== "interval");
    if (!target.hidden) Plotly.react(target, view.traces.filter(isShown), layoutOf(view, plot), config);
    if (!plot.by_contender) labelLegend(section.querySelector(".legend"), view.traces);
  }

  const markers = {
    circle: "M12 7a4 4 0 1 0 8 0a4 4 0 1 0-8 0",
    square: "M12.5 3.5h7v7h-7z",
    diamond: "M16 2l5 5l-5 5l-5-5z",
    "triangle-up": "M16 2.5l4.5 8h-9z",
    "triangle-down": "M16 11.5l4.5-8h-9z",
    cross: "M14.5 2.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
    x: "M13 2.5l3 3l3-3l1.5 1.5l-3 3l3 3l-1.5 1.5l-3-3l-3 3l-1.5-1.5l3-3l-3-3z",
    star: "M16 1.5l1.5 3.8l4 .3l-3.1 2.6l1 3.9l-3.4-2.1l-3.4 2.1l1-3.9l-3.1-2.6l4-.3z",
  };
  const dashes = { solid: "", dash: "7 4", dot: "2 3", dashdot: "7 3 2 3" };

  function swatch(style) {
    const make = (tag, attributes, parent) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
      parent?.append(node);
      return node;
    };
    const svg = make("svg", { width: 32, height: 14, class: "swatch", "aria-hidden": "true" });
    make("path", { d: "M0 7h32", stroke: style.colour, "stroke-width": 2, "stroke-dasharray": dashes[style.dash] }, svg);
    if (markers[style.symbol]) make("path", { d: markers[style.symbol], fill: style.colour }, svg);
    return svg;
  }

  function named(tag, style, name) {
    const entry = document.createElement(tag), text = document.createElement("span");
    entry.className = "entry";
    text.className = "entry-name";
    text.textContent = name;
    entry.append(swatch(style), text);
    return entry;
  }

  function contenderLegend(plot, legend) {
    const there = new Set(Object.values(plot.views).flatMap((view) => view.traces.map((trace) => trace.meta)));
    for (const contender of contenders.filter(({ c }) => there.has(c))) {
      const label = named("label", contender, contender.name), box = document.createElement("input");
      box.type = "checkbox";
      box.checked = true;
      box.autocomplete = "off";
      box.dataset.contender = contender.c;
      box.addEventListener("change", () => toggle(contender.c, box.checked));
      label.prepend(box);
      legend.append(label);
    }
  }

  function toggle(c, isShown) {
    if (isShown) hidden.delete(c);
    else hidden.add(c);
    document.querySelectorAll(`input[data-contender="${c}"]`).forEach((box) => { box.checked = isShown; });
    plots.filter((plot) => plot.by_contender).forEach(draw);
  }

  const plain = (text) => new DOMParser().parseFromString(text, "text/html").documentElement.textContent;

  function labelLegend(legend, traces) {
    legend.querySelectorAll(".entry").forEach((entry) => entry.remove());
    const seen = new Set();
    for (const { name, line, marker } of traces) {
      if (seen.has(name)) continue;
      seen.add(name);
      legend.append(named("span", { colour: (line ?? marker).color, dash: line?.dash ?? "solid" }, plain(name)));
    }
  }

  function sort(button) {
    const header = button.closest("th"), body = button.closest("table").tBodies[0];
    const at = header.cellIndex;
    const isDown = header.getAttribute("aria-sort") ? header.getAttribute("aria-sort") === "ascending" : header.dataset.first === "descending";
    header.parentNode.querySelectorAll("[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", isDown ? "descending" : "ascending");
    const valueOf = (row) => row.cells[at].dataset.value;
    const compare = (a, b) => {
      const x = valueOf(a), y = valueOf(b);
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = header.dataset.kind === "text" ? x.localeCompare(y) : Number(x) - Number(y);
      return isDown ? -order : order;
    };
    body.append(...[...body.rows].sort(compare));
  }

  document.querySelectorAll("[data-swatch]").forEach((place) => {
    const style = contenders.find((contender) => contender.c === Number(place.dataset.swatch));
    if (style) place.replaceWith(swatch(style));
  });
  document.querySelectorAll("thead button").forEach((button) => button.addEventListener("click", () => sort(button)));
  for (const plot of plots) {
    const section = document.getElementById(`plot-${plot.name}`);
    if (plot.by_contender) contenderLegend(plot, section.querySelector(".legend"));
    section.querySelectorAll(".choices :is(select, input)").forEach((control) => control.addEventListener("change", () => draw(plot)));
    draw(plot);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach(draw));
})();
