"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const themes = read("themes");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const theme = () => themes[dark.matches && !document.documentElement.classList.contains("printing") ? "dark" : "light"];
  const config = { displayModeBar: false, responsive: true };
  const plots = [];

  function draw(id) {
    const plot = document.getElementById(id);
    const { data, layout } = read(`figure-${id}`);
    plots.push(plot);
    if (layout.scene) {
      // On a narrow screen the whole figure is seen from further away.
      const eye = layout.scene.camera.eye;
      const further = Math.max(1, 480 / plot.clientWidth);
      for (const axis of ["x", "y", "z"]) eye[axis] *= further;
    }
    return Plotly.newPlot(plot, data, { ...layout, template: theme() }, config);
  }

  function element(name, text, kind) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  }

  function recolor() {
    return Promise.all(plots.map((plot) => Plotly.relayout(plot, { template: theme() })));
  }

  // A legend that the keyboard reaches, for all curves at once.
  function setUpLegend() {
    for (const box of document.querySelectorAll("input[data-run]")) {
      box.addEventListener("change", () => {
        for (const plot of plots.filter((one) => one.id.startsWith("curve-"))) {
          const traces = plot.data.map((trace, index) => (trace.legendgroup === box.dataset.run ? index : -1));
          const own = traces.filter((index) => index >= 0);
          if (own.length) Plotly.restyle(plot, { visible: box.checked }, own);
        }
      });
    }
  }

  function turn(plot, angle, tilt, zoom) {
    const scene = plot.layout.scene;
    const { x, y, z } = scene.camera.eye;
    const flat = Math.hypot(x, y);
    const far = Math.hypot(flat, z) * zoom;
    const around = Math.atan2(y, x) + angle;
    const up = Math.max(-1.5, Math.min(1.5, Math.atan2(z, flat) + tilt));
    const eye = { x: far * Math.cos(up) * Math.cos(around), y: far * Math.cos(up) * Math.sin(around), z: far * Math.sin(up) };
    return Plotly.relayout(plot, { "scene.camera": { ...scene.camera, eye } });
  }

  const TURNS = {
    ArrowLeft: [-0.15, 0, 1], ArrowRight: [0.15, 0, 1], ArrowUp: [0, 0.15, 1], ArrowDown: [0, -0.15, 1],
    "+": [0, 0, 0.9], "=": [0, 0, 0.9], "-": [0, 0, 1.1],
  };

  function setUpView(figure) {
    const plot = document.getElementById(figure.dataset.view);
    const view = read(`view-${plot.id}`);
    plot.addEventListener("keydown", (event) => {
      const move = event.ctrlKey || event.metaKey || event.altKey ? undefined : TURNS[event.key];
      if (move && event.target === plot) {
        event.preventDefault();
        turn(plot, ...move);
      }
    });
    const camera = structuredClone(plot.layout.scene.camera);
    const reset = figure.querySelector("[data-part=reset]");
    reset.addEventListener("click", () => Plotly.relayout(plot, { "scene.camera": structuredClone(camera) }));
    const select = figure.querySelector("[data-part=color]");
    select.addEventListener("change", () => {
      const { name, values, scale, low, high, unit } = view.colorings[select.value];
      const title = unit ? `${name}, ${unit}` : name;
      const change = { "marker.color": [values], "marker.colorscale": scale, "marker.cmin": low, "marker.cmax": high };
      Plotly.restyle(plot, { ...change, "marker.colorbar.title.text": title }, [0]);
    });
    if (view.points) setUpUnits(figure, plot, view);
  }

  function setUpUnits(figure, plot, view) {
    const input = figure.querySelector("[data-part=unit]");
    const panel = figure.querySelector("[data-part=chosen]");
    const tuned = new Map(view.tuning ? view.tuning.units.map((unit, index) => [unit, index]) : []);
    let shown = -1;

    function choose(unit) {
      if (unit === shown || !view.points[unit]) return;
      shown = unit;
      input.value = unit;
      panel.replaceChildren(...describe(unit));
      const drawMap = panel.querySelector(".map");
      if (drawMap) drawRates(drawMap, view.tuning, tuned.get(unit));
      const ends = { more: [[], [], []], less: [[], [], []] };
      view.incoming.units[unit].forEach((source, index) => {
        const weight = view.incoming.weights[unit][index];
        if (!weight) return;
        const line = ends[weight > 0 ? "more" : "less"];
        for (const axis of [0, 1, 2]) line[axis].push(view.points[source][axis], view.points[unit][axis], null);
      });
      const at = view.points[unit].map((value) => [value]);
      Plotly.restyle(
        plot,
        { x: [ends.more[0], ends.less[0], at[0]], y: [ends.more[1], ends.less[1], at[1]], z: [ends.more[2], ends.less[2], at[2]] },
        [2, 3, 4],
      );
    }

    function describe(unit) {
      const first = element("div");
      first.append(element("h4", `Unit ${unit}`));
      const index = tuned.get(unit);
      if (index !== undefined) {
        const p = view.tuning.p_values[index];
        const peak = view.tuning.peaks[index];
        first.append(element("p", peak > 0 ? `Activity by place, at most ${peak}; does it depend on the place? p = ${p}` : "Never active."));
        if (peak > 0) first.append(element("div", undefined, "map"));
      } else {
        first.append(element("p", view.tuning ? "Its tuning was not analyzed." : "No tuning: the run is not analyzed, or has no places."));
      }
      return [first, partners("Strongest inputs", view.incoming, unit), partners("Strongest outputs", view.outgoing, unit)];
    }

    function partners(title, side, unit) {
      const part = element("div");
      const list = element("ol");
      side.units[unit].forEach((other, index) => {
        const weight = side.weights[unit][index];
        if (!weight) return;
        const item = element("li");
        item.append(element("span", `unit ${other}`), element("span", weight.toPrecision(3), weight > 0 ? "excites" : "inhibits"));
        list.append(item);
      });
      part.append(element("h4", title), list.children.length ? list : element("p", "none"));
      return part;
    }

    plot.on("plotly_hover", (event) => event.points[0].curveNumber === 0 && choose(event.points[0].customdata));
    plot.on("plotly_click", (event) => event.points[0].curveNumber === 0 && choose(event.points[0].customdata));
    input.addEventListener("input", () => input.value !== "" && choose(Number(input.value)));
    const sums = view.colorings[view.colorings.length - 1].values;
    choose(sums.indexOf(Math.max(...sums)));
  }

  function drawRates(place, tuning, index) {
    const { kind, x, y, unit } = tuning.bins;
    const bytes = Uint8Array.from(atob(tuning.maps[index]), (letter) => letter.charCodeAt(0));
    const levels = Array.from(bytes, (level) => (level === 255 ? null : (level / 254) * tuning.peaks[index]));
    let data;
    if (kind === "image") {
      const z = y.map((_, row) => x.map((_, column) => levels[column * y.length + row]));
      data = { type: "heatmap", x, y, z, colorscale: "Viridis", showscale: false };
    } else if (kind === "line") {
      data = { type: "scatter", mode: "lines", x, y: levels };
    } else {
      data = { type: "scatter", mode: "markers", x, y, marker: { color: levels, colorscale: "Viridis", size: 6 } };
    }
    const square = kind === "image" ? { scaleanchor: "x", constrain: "domain" } : {};
    const layout = {
      template: theme(), height: 170, margin: { l: 4, r: 4, t: 4, b: 4 },
      font: { size: 10 },
      xaxis: { title: { text: unit }, nticks: 4, constrain: "domain" }, yaxis: { nticks: 4, ...square },
    };
    Plotly.react(place, [data], layout, { staticPlot: true, responsive: true });
  }

  // A browser prints what is there when this returns: plotly's own resizing would come too late.
  function preparePrint() {
    document.documentElement.classList.add("printing");
    for (const part of document.querySelectorAll("details:not([open])")) {
      part.open = true;
      part.dataset.closed = "yes";
    }
    for (const plot of plots) Plotly.relayout(plot, { template: theme(), width: plot.clientWidth });
  }

  function endPrint() {
    document.documentElement.classList.remove("printing");
    for (const part of document.querySelectorAll("details[data-closed]")) {
      part.open = false;
      delete part.dataset.closed;
    }
    for (const plot of plots) Plotly.relayout(plot, { template: theme(), width: null, autosize: true });
  }

  const drawn = Array.from(document.querySelectorAll(".plot"), (plot) => draw(plot.id));
  setUpLegend();
  document.querySelectorAll("figure.turns").forEach(setUpView);
  dark.addEventListener("change", recolor);
  window.addEventListener("beforeprint", preparePrint);
  window.addEventListener("afterprint", endPrint);
  Promise.all(drawn).then(() => document.documentElement.classList.add("drawn"));
})();
