// The seen-unseen curve: shows S, U and H for the seen penalty at the pointer or slider.
(() => {
  const {curve} = JSON.parse(document.getElementById("data").textContent), chart = document.getElementById("su");
  if (!curve) return;
  const plot = chart.querySelector(".plot"), ring = document.getElementById("ring"), slider = document.getElementById("gamma");
  const cells = Object.fromEntries([...document.querySelectorAll("#point dd")].map(cell => [cell.dataset.of, cell]));
  const percent = share => `${(100 * share).toFixed(1)} %`;
  function show(k) {
    const s = curve.S[k], u = curve.U[k];
    cells.gamma.textContent = String(Number(curve.gamma[k].toPrecision(4)));
    cells.S.textContent = percent(s);
    cells.U.textContent = percent(u);
    cells.H.textContent = percent(s + u ? 2 * s * u / (s + u) : 0);
    ring.setAttribute("cx", s);
    ring.setAttribute("cy", u);
    slider.value = k;
    slider.setAttribute("aria-valuetext", `γ ${cells.gamma.textContent}, S ${percent(s)}, U ${percent(u)}`);
  }
  function nearest(event) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse());
    const far = k => (curve.S[k] - at.x) ** 2 + (curve.U[k] - at.y) ** 2;
    return curve.S.reduce((best, _, k) => far(k) < far(best) ? k : best, curve.own);
  }
  for (const kind of ["pointerdown", "pointermove"]) chart.addEventListener(kind, event => show(nearest(event)));
  chart.addEventListener("pointerleave", event => { if (event.pointerType === "mouse") show(curve.own); });
  slider.addEventListener("input", () => show(Number(slider.value)));
  document.getElementById("own").addEventListener("click", () => show(curve.own));
  chart.dataset.live = "";
  document.getElementById("steer").hidden = false;
  show(curve.own);
})();
