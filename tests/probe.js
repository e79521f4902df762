// What a page looks like, measured in a browser: one object that JSON can express.
(() => {
  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const canvas = (() => {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.background = "Canvas";
    const found = channels(getComputedStyle(probe).backgroundColor);
    probe.remove();
    return found.slice(0, 3);
  })();
  const over = (top, below) => {
    const alpha = top[3] === undefined ? 1 : top[3];
    return below.map((value, place) => alpha * top[place] + (1 - alpha) * value);
  };
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(channels(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), canvas);
  };
  // WCAG 2.2, "relative luminance" and "contrast ratio".
  const luminance = (colour) => {
    const [red, green, blue] = colour.map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (one, other) => {
    const [dark, bright] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };

  let [smallest, faintest] = [[Infinity, ""], [Infinity, ""]];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const drawn = element.closest("svg");
    if (seen.has(element) || !walker.currentNode.data.trim() || !element.checkVisibility() || element.localName === "title") continue;
    seen.add(element);
    const style = getComputedStyle(element);
    const scale = drawn ? Math.abs(drawn.getScreenCTM().a) : 1;
    const size = scale * parseFloat(style.fontSize);
    const says = `${element.localName}: ${walker.currentNode.data.trim().slice(0, 40)}`;
    if (size < smallest[0]) smallest = [size, says];
    const colour = channels(drawn ? style.fill : style.color);
    if (drawn && colour.slice(0, 3).every((value) => value === 255) && drawn.classList.contains("confusion")) continue; // on a cell
    const back = behind(drawn ? drawn : element);
    const found = contrast(over(colour, back), back);
    if (found < faintest[0]) faintest = [found, says];
  }
  const shown = [...document.images].filter((image) => image.checkVisibility());
  const blurred = shown.filter((image) => {
    const box = image.getBoundingClientRect();
    const fit = getComputedStyle(image).objectFit;
    const share = Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight);
    return fit !== "scale-down" && share > 1.01 && getComputedStyle(image).imageRendering !== "pixelated";
  });
  const wide = [...document.querySelectorAll("body *")].filter(
    (item) => item.checkVisibility() && getComputedStyle(item).overflowX === "auto" && item.scrollWidth > item.clientWidth + 1,
  );
  const levels = [...document.querySelectorAll("h1, h2, h3, h4")].map((heading) => Number(heading.localName[1]));
  const heights = [...document.querySelectorAll("nav a, summary, .orders label")].map((item) => item.getBoundingClientRect().height);
  return {
    width: document.documentElement.scrollWidth,
    smallest,
    faintest,
    images: shown.length,
    blurred: blurred.map((image) => image.alt),
    unnamed: [...document.querySelectorAll("img:not([alt]), img[alt=''], svg:not([aria-label], [aria-hidden])")].length,
    skipped: levels.filter((level, place) => level > (place ? levels[place - 1] : 0) + 1),
    cut: wide.filter((item) => item.querySelector("svg:not(.swatch)")).map((item) => item.querySelector("svg").ariaLabel),
    unshaded: wide.filter((item) => getComputedStyle(item).backgroundImage === "none").map((item) => item.outerHTML.slice(0, 80)),
    lowest: Math.min(...heights),
    headless: [...document.querySelectorAll("th:not([scope])")].length,
  };
})()
