// Draws the page from the JSON beside it: maps by label and bin, features, response.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function unpack(part) {
  // numbers: scale times 16-bit integers in base64; the lowest stands for none
  const bytes = Uint8Array.from(atob(part.data), (c) => c.charCodeAt(0));
  const values = new Int16Array(bytes.buffer);
  return Array.from(values, (v) => (v === -32768 ? null : v * part.scale));
}

const wave = data.wave;
const colours = ["#0072B2", "#D55E00"];

function withGaps(x, y) {
  // a gap between chips is not drawn as a line
  const outX = [], outY = [];
  data.chips.forEach(([a, b], i) => {
    if (i) { outX.push(null); outY.push(null); }
    for (let k = a; k < b; k++) { outX.push(x[k]); outY.push(y[k]); }
  });
  return [outX, outY];
}

function band(mean, error, colour) {
  return data.chips.map(([a, b]) => {
    const x = [], y = [];
    for (let k = a; k < b; k++) { x.push(wave[k]); y.push((mean[k] || 0) + (error[k] || 0)); }
    for (let k = b - 1; k >= a; k--) {
      x.push(wave[k]); y.push((mean[k] || 0) - (error[k] || 0));
    }
    return { x, y, fill: "toself", mode: "none", fillcolor: colour + "40", hoverinfo: "skip",
      showlegend: false, xaxis: "x", yaxis: "y2" };
  });
}

function traces(label, bin) {
  const out = [];
  data.sets.forEach((set, s) => {
    const place = set.bins.findIndex((b) => b.title === bin);
    if (place < 0) return;
    const colour = colours[s % colours.length];
    const group = { legendgroup: set.title, line: { color: colour, width: 1.2 } };
    const [fx, fy] = withGaps(wave, unpack(set.bins[place].flux));
    out.push({ x: fx, y: fy, name: set.title, ...group, mode: "lines", xaxis: "x", yaxis: "y",
      hovertemplate: "%{x:.2f} Å: %{y:.3f}<extra></extra>" });
    const mean = unpack(set.bins[place].mean[label]);
    if (set.bins[place].error) {
      out.push(...band(mean, unpack(set.bins[place].error[label]), colour));
    }
    const [mx, my] = withGaps(wave, mean);
    out.push({ x: mx, y: my, name: set.title, ...group, mode: "lines", xaxis: "x", yaxis: "y2",
      showlegend: false, hovertemplate: "%{x:.2f} Å: %{y:.4g}<extra></extra>" });
  });
  return out;
}

function names(label) {
  const rows = data.features[label] || [];
  const ends = [wave[0], wave[wave.length - 1]];
  return rows.map((row, i) => ({
    x: row.wavelength, y: 1.0 + 0.035 * (i % 4), xref: "x", yref: "y domain", showarrow: false,
    text: row.species || (row.beside ? "(" + row.beside + ")" : "?"), textangle: -50,
    xanchor: "left", yanchor: "bottom",
    font: { size: 10, color: row.species ? "#1c2733" : "#9aa5b0" },
  })).filter((note) => note.x >= ends[0] && note.x <= ends[1]);
}

function drawMap() {
  const label = byId("label").value, bin = byId("bin").value;
  const lines = (data.features[label] || []).map((row) => ({
    type: "line", x0: row.wavelength, x1: row.wavelength, y0: 0, y1: 1, xref: "x", yref: "paper",
    line: { width: 0.6, dash: "dot", color: row.species ? "#8a96a3" : "#d5dbe1" },
  }));
  const counts = data.sets.map((set) => {
    const found = set.bins.find((b) => b.title === bin);
    return set.title + ": " + (found ? found.count : 0) + " stars";
  });
  byId("count").textContent = counts.join("; ");
  Plotly.react("map", traces(label, bin), {
    margin: { t: 90, r: 20, l: 75, b: 50 }, hovermode: "closest", uirevision: "zoom",
    legend: { orientation: "h", y: -0.1 }, shapes: lines, annotations: names(label),
    xaxis: { title: { text: "vacuum wavelength (Å)" }, anchor: "y2", exponentformat: "none" },
    yaxis: { domain: [0.62, 1], title: { text: "flux / median" } },
    yaxis2: { domain: [0, 0.57], zeroline: true,
      title: { text: "d " + label + " / d flux (" + (data.units[label] || "-") + ")" } },
  }, { responsive: true, scrollZoom: true });
  drawTable(label);
}

function drawTable(label) {
  const rows = data.features[label] || [];
  const table = byId("features");
  table.replaceChildren();
  const add = (cells, tag, far) => {
    const row = document.createElement("tr");
    cells.forEach((cell) => {
      const at = document.createElement(tag);
      at.textContent = cell;
      if (far) at.className = "far";
      row.appendChild(at);
    });
    table.appendChild(row);
  };
  add(["rank", "wavelength (Å)", "sensitivity", "error", "species", "line (Å)", "beside"], "th");
  rows.forEach((row) => add([row.rank, row.wavelength.toFixed(2), row.sensitivity, row.error,
    row.species, row.line === null ? "" : row.line.toFixed(2), row.beside], "td", !row.species));
}

function drawResponse() {
  const found = data.response;
  if (!found) { byId("responsepart").style.display = "none"; return; }
  const text = found.matrix.map((row, i) => row.map((v, j) =>
    (v === null || (i !== j && Math.abs(v) < 0.005) ? "" : v.toFixed(2))));
  Plotly.newPlot("response", [{
    type: "heatmap", z: found.matrix, x: found.names, y: found.names, zmin: -1, zmax: 1,
    colorscale: [[0, "#2166ac"], [0.5, "#f7f7f7"], [1, "#b2182b"]], text,
    texttemplate: "%{text}",
    textfont: { size: 10 }, xgap: 1, ygap: 1,
    hovertemplate: "%{y} changed: %{x} moves by %{z:.3f}<extra></extra>",
  }], {
    margin: { t: 60, l: 90, r: 20, b: 20 }, xaxis: { side: "top", tickangle: -45 },
    yaxis: { autorange: "reversed" },
  }, { responsive: true });
}

const options = (id, values) => values.forEach((v) => byId(id).add(new Option(v, v)));
options("label", data.labels);
options("bin", [...new Set(data.sets.flatMap((set) => set.bins.map((b) => b.title)))]);
byId("label").onchange = drawMap;
byId("bin").onchange = drawMap;
drawMap();
drawResponse();
