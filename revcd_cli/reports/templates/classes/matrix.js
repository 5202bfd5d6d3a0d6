// The similarity matrix on a canvas; the mouse, touch and arrow keys select a pair of classes.
"use strict";
const {names, cosines, bound, pairs} = JSON.parse(document.getElementById("data").textContent), n = names.length;
const canvas = document.querySelector("canvas"), readout = document.getElementById("readout");
if (canvas) {
  const holder = canvas.parentElement, labels = [...holder.querySelectorAll("li")], pen = canvas.getContext("2d");
  const LEAST = 15, LARGEST = 4096; // side of a cell with a readable label; of a canvas that phones draw, in pixels
  const key = (a, b) => Math.min(a, b) * n + Math.max(a, b), apart = new Map(pairs.map(([a, b, text]) => [key(a, b), text]));
  let cell = 0, here = pairs.length ? [...pairs[0].slice(0, 2)] : [0, 1];
  function draw() {
    const style = getComputedStyle(document.documentElement), colour = name => style.getPropertyValue(name);
    const card = holder.parentElement.parentElement, wide = matchMedia("(min-width: 48.01rem)").matches;
    const room = card.clientWidth - 34, within = wide ? Math.min(room * .72, 860) : room;
    holder.classList.remove("tight");
    holder.style.setProperty("--cell", "14px");
    const beside = holder.querySelector("ol").offsetWidth + 8, fits = Math.floor((within - beside) / n);
    const scrolls = !wide && fits < LEAST && n * LEAST <= LARGEST; // labels stay readable, and the map scrolls sideways
    holder.classList.toggle("tight", fits < 10 && !scrolls);
    holder.classList.toggle("scrolls", scrolls);
    cell = scrolls ? LEAST : Math.max(2, Math.min(30, fits < 10 ? Math.floor(within / n) : fits));
    holder.style.setProperty("--cell", `${cell}px`);
    const size = cell * n, scale = Math.min(devicePixelRatio || 1, LARGEST / size);
    canvas.width = canvas.height = size * scale;
    canvas.style.width = canvas.style.height = `${size}px`;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    const gap = cell > 6 ? 1 : 0;
    for (let row = 0; row < n; row++) for (let column = 0; column < n; column++) {
      const cosine = cosines[row][column], box = [column * cell, row * cell, cell - gap, cell - gap];
      pen.globalAlpha = 1;
      pen.fillStyle = colour(row === column ? "--line" : cosine >= 100 && apart.get(key(row, column)) === "same row" ? "--failed" : cosine > bound ? "--rejected" : "--track");
      pen.fillRect(...box);
      if (row !== column && cosine > 0 && cosine <= bound) {
        pen.globalAlpha = (cosine / 100) ** 1.6;
        pen.fillStyle = colour("--text");
        pen.fillRect(...box);
      }
    }
    pen.globalAlpha = 1;
    pen.lineWidth = 2;
    pen.strokeStyle = colour("--seen");
    pen.strokeRect(here[1] * cell, here[0] * cell, cell - gap, cell - gap);
  }
  function line(tag, text, name) {
    const element = document.createElement(tag);
    element.textContent = text;
    if (name) element.className = name;
    return element;
  }
  function show(row, column) {
    here = [Math.max(0, Math.min(n - 1, row)), Math.max(0, Math.min(n - 1, column))];
    const [a, b] = here, told = apart.get(key(a, b));
    labels.forEach((label, k) => label.classList.toggle("here", k === a || k === b));
    readout.replaceChildren(line("b", names[a]), ...(a === b ? [line("span", "the same class")] : [
      line("b", names[b]), line("div", (cosines[a][b] / 100).toFixed(2), "big"), line("span", told || "")]));
    draw();
  }
  const at = event => show(Math.floor(event.offsetY / cell), Math.floor(event.offsetX / cell));
  canvas.addEventListener("pointermove", at);
  canvas.addEventListener("pointerdown", at);
  canvas.addEventListener("keydown", event => {
    const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
    if (!step) return;
    event.preventDefault();
    show(here[0] + step[0], here[1] + step[1]);
    holder.scrollLeft = Math.min(holder.scrollLeft, cell * here[1]);
    holder.scrollLeft = Math.max(holder.scrollLeft, cell * (here[1] + 1) + canvas.offsetLeft - holder.clientWidth);
  });
  addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  show(...here);
}
