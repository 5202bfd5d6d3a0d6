// The confusion matrix on a canvas, with zoom by wheel, buttons, two fingers or keys. The selected cell is shown as text.
(() => {
  const {matrix} = JSON.parse(document.getElementById("data").textContent);
  const canvas = document.getElementById("matrix"), says = document.getElementById("says"), pen = canvas.getContext("2d");
  const {names, seen, photos} = matrix, columns = names.map((_, c) => c), rows = columns.filter(c => photos[c]);
  const rowOf = new Map(rows.map((c, k) => [c, k])), countOf = new Map(matrix.cells.map(([t, a, n]) => [t * names.length + a, n]));
  const seenColumns = seen.filter(Boolean).length, seenRows = rows.filter(c => seen[c]).length;
  const LABEL = 11, MOST = 34;  // pixels: height of a label, and of a cell at the highest zoom
  let left, top, width, height, base, zoom = 1, x = 0, y = 0, at = null;
  const colours = {};

  const cell = () => base * zoom;
  const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
  const fitting = (value, count, room) => clamp(value, 0, Math.max(0, count - room / cell()));
  function settle() {
    zoom = clamp(zoom, 1, Math.max(1, MOST / base));
    x = fitting(x, columns.length, width);
    y = fitting(y, rows.length, height);
    canvas.classList.toggle("zoomed", zoom > 1);
  }

  function measure() {
    const whole = canvas.parentElement.clientWidth - 2 * parseFloat(getComputedStyle(canvas.parentElement).paddingLeft);
    pen.font = `${LABEL}px system-ui, sans-serif`;
    const longest = Math.max(...names.map(name => pen.measureText(name).width));
    left = top = Math.min(longest + 12, 190, whole * .27);
    width = whole - left;
    const most = Math.max(280, Math.min(760, innerHeight * .85) - top);
    base = Math.min(width / columns.length, most / rows.length, 44);
    height = Math.min(most, Math.max(base * rows.length, 120));
    const style = getComputedStyle(document.documentElement);
    for (const name of ["text", "soft", "line", "card", "seen", "unseen"]) colours[name] = style.getPropertyValue(`--${name}`);
    canvas.style.height = `${top + height}px`;
    canvas.width = Math.round(whole * devicePixelRatio);
    canvas.height = Math.round((top + height) * devicePixelRatio);
    settle();
    draw();
  }

  function label(text, room) {
    if (pen.measureText(text).width <= room) return text;
    let kept = text.length;
    while (kept > 1 && pen.measureText(text.slice(0, kept) + "…").width > room) kept--;
    return text.slice(0, kept) + "…";
  }

  function labels(classes, start, room, put, chosen) {
    const size = cell(), step = Math.ceil((LABEL + 1) / size), taken = chosen === undefined ? null : chosen;
    classes.forEach((c, k) => {
      const place = (k + .5 - start) * size;
      if (place < 0 || place > room) return;
      const near = taken !== null && k !== taken && Math.abs(k - taken) * size < LABEL + 2;
      if (k !== taken && (k % step || near)) return;
      pen.font = `${k === taken ? "bold " : ""}${LABEL}px system-ui, sans-serif`;
      pen.fillStyle = k === taken ? colours.text : seen[c] ? colours.seen : colours.unseen;
      put(label(names[c], left - 10), place);
    });
  }

  function draw() {
    const size = cell(), ratio = devicePixelRatio, right = Math.min(width, (columns.length - x) * size), low = Math.min(height, (rows.length - y) * size);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, left + width, top + height);
    pen.save();
    pen.beginPath();
    pen.rect(left, top, right, low);
    pen.clip();
    pen.strokeStyle = colours.line;
    if (size >= 9) {
      pen.beginPath();
      for (let c = Math.ceil(x); c <= x + right / size; c++) { pen.moveTo(left + (c - x) * size, top); pen.lineTo(left + (c - x) * size, top + low); }
      for (let r = Math.ceil(y); r <= y + low / size; r++) { pen.moveTo(left, top + (r - y) * size); pen.lineTo(left + right, top + (r - y) * size); }
      pen.stroke();
    }
    const dot = Math.max(size, 2.2);  // with 200 classes a cell would be too small to see
    for (const [t, a, n] of matrix.cells) {
      const px = (a - x) * size, py = (rowOf.get(t) - y) * size;
      if (px < -dot || py < -dot || px > right || py > low) continue;
      pen.globalAlpha = .12 + .88 * Math.sqrt(n / photos[t]);
      pen.fillStyle = seen[a] ? colours.seen : colours.unseen;
      pen.fillRect(left + px, top + py, dot, dot);
      if (size >= 22) {
        pen.globalAlpha = 1;
        pen.fillStyle = n / photos[t] > .25 ? colours.card : colours.text;
        pen.font = `${LABEL}px system-ui, sans-serif`;
        pen.textAlign = "center";
        pen.textBaseline = "middle";
        pen.fillText(n, left + px + size / 2, top + py + size / 2);
      }
    }
    pen.globalAlpha = 1;
    pen.strokeStyle = colours.soft;
    pen.beginPath();
    pen.moveTo(left + (seenColumns - x) * size, top); pen.lineTo(left + (seenColumns - x) * size, top + low);
    pen.moveTo(left, top + (seenRows - y) * size); pen.lineTo(left + right, top + (seenRows - y) * size);
    pen.stroke();
    if (at) {
      pen.globalAlpha = .1;
      pen.fillStyle = colours.text;
      pen.fillRect(left, top + (at.row - y) * size, right, size);
      pen.fillRect(left + (at.column - x) * size, top, size, low);
      pen.globalAlpha = 1;
      pen.strokeStyle = colours.text;
      pen.lineWidth = 1.5;
      pen.strokeRect(left + (at.column - x) * size, top + (at.row - y) * size, size, size);
    }
    pen.restore();
    pen.strokeStyle = colours.line;
    pen.strokeRect(left - .5, top - .5, right + 1, low + 1);
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    labels(rows, y, low, (text, place) => pen.fillText(text, left - 6, top + place), at?.row);
    pen.textAlign = "left";
    labels(columns, x, right, (text, place) => {
      pen.save();
      pen.translate(left + place, top - 6);
      pen.rotate(-Math.PI / 2);
      pen.fillText(text, 0, 0);
      pen.restore();
    }, at?.column);
  }

  function point(row, column) {
    at = {row, column};
    const t = rows[row], n = countOf.get(t * names.length + column) ?? 0;
    says.textContent = `true class ${names[t]}, predicted ${names[column]}: ${n} ${n === 1 ? "photo" : "photos"} of ${photos[t]} (${(100 * n / photos[t]).toFixed(1)} %)`;
    draw();
  }
  function move(dx, dy) { x -= dx / cell(); y -= dy / cell(); settle(); draw(); }
  function scale(factor, px = width / 2, py = height / 2) {  // keeps the cell at (px, py) in place
    const column = x + px / cell(), row = y + py / cell();
    zoom *= factor;
    settle();
    x = column - px / cell();
    y = row - py / cell();
    settle();
    draw();
  }
  const place = event => {
    const box = canvas.getBoundingClientRect();
    return {px: event.clientX - box.left - left, py: event.clientY - box.top - top};
  };
  function pointAt(event) {
    const {px, py} = place(event), column = Math.floor(x + px / cell()), row = Math.floor(y + py / cell());
    if (px >= 0 && py >= 0 && column < columns.length && row < rows.length) point(row, column);
  }

  const fingers = new Map();
  canvas.addEventListener("pointerdown", event => {
    fingers.set(event.pointerId, event);
    canvas.setPointerCapture(event.pointerId);
    pointAt(event);
  });
  canvas.addEventListener("pointermove", event => {
    const before = fingers.get(event.pointerId);
    if (!before) return pointAt(event);
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    fingers.set(event.pointerId, event);
    if (!other) return zoom > 1 ? move(event.clientX - before.clientX, event.clientY - before.clientY) : pointAt(event);
    const apart = each => Math.hypot(each.clientX - other.clientX, each.clientY - other.clientY);
    const {px, py} = place({clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2});
    if (apart(before)) scale(apart(event) / apart(before), px, py);
  });
  for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, event => fingers.delete(event.pointerId));
  canvas.addEventListener("wheel", event => {  // zoom only after a click, so that scrolling the page past it works
    if (document.activeElement !== canvas && !event.ctrlKey) return;
    event.preventDefault();
    const {px, py} = place(event);
    scale(Math.exp(-event.deltaY / 300), px, py);
  }, {passive: false});

  function reveal() {
    const rooms = [width / cell(), height / cell()];
    x = clamp(x, at.column + 1 - rooms[0], at.column);
    y = clamp(y, at.row + 1 - rooms[1], at.row);
    settle();
    draw();
  }
  const keys = {
    ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
  };
  canvas.addEventListener("keydown", event => {
    const step = keys[event.key];
    if (step) {
      const [row, column] = at ? [at.row + step[0], at.column + step[1]] : [0, 0];
      point(clamp(row, 0, rows.length - 1), clamp(column, 0, columns.length - 1));
      reveal();
    } else if ("+=".includes(event.key)) scale(1.5);
    else if (event.key === "-") scale(1 / 1.5);
    else if (event.key === "0") scale(0);
    else return;
    event.preventDefault();
  });
  const tools = document.getElementById("zoom"), factors = {in: 1.6, out: 1 / 1.6, whole: 0};
  tools.addEventListener("click", event => { if (event.target.dataset.zoom) scale(factors[event.target.dataset.zoom]); });
  const go = document.getElementById("goto");
  rows.forEach((c, k) => go.add(new Option(`${names[c]} (${seen[c] ? "seen" : "unseen"})`, k)));
  go.addEventListener("change", () => {
    if (go.value === "") return;
    const row = Number(go.value), column = rows[row];
    zoom = Math.max(zoom, 18 / base);
    settle();
    x = column + .5 - width / cell() / 2;
    y = row + .5 - height / cell() / 2;
    settle();
    point(row, column);
  });

  if (!rows.length) { says.textContent = "There are no test photos."; return; }
  tools.hidden = canvas.hidden = false;
  says.textContent = "Point at a cell to show its values. Click, then zoom with the wheel and drag to move, or use the buttons, the arrow keys, and + − 0.";
  new ResizeObserver(measure).observe(canvas.parentElement);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", measure);
})();
