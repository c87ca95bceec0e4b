"""Descriptions: what each category looks like, in sentences that name its parts and say how they sit together.

They describe the drawn objects of this package and nothing more.
"""

from __future__ import annotations

SAMPLE_DESCRIPTIONS: dict[str, tuple[str, ...]] = {
    "house": (
        "A house is a box of walls with a pitched, triangular roof on top.",
        "Its wall carries a tall door on one side and a small square window on the other.",
        "A narrow chimney rises through the slope of the roof.",
    ),
    "castle": (
        "A castle has two tall towers with toothed battlements, one at each end.",
        "A lower wall runs between the towers and holds an arched gate in its middle.",
        "A narrow window is cut into each tower, and a flag flies from one of them.",
    ),
    "car": (
        "A car is a long, low body with a shorter cabin on top.",
        "Two round wheels stick out below the body, one near each end.",
        "The cabin has two slanted windows side by side, and a headlight sits at the front.",
    ),
    "train": (
        "A steam train has a long boiler with a flaring funnel on top.",
        "A tall cab with a window and a flat roof stands at the back of the boiler.",
        "A row of wheels, the rear one larger, carries the train, and a wedge-shaped cow-catcher is in front.",
    ),
    "bicycle": (
        "A bicycle has two large, thin, spoked wheels, one behind the other.",
        "Its frame of straight tubes forms triangles between the wheels.",
        "A saddle sits on the seat post, a handlebar on the fork and pedals hang at the bottom.",
    ),
    "airplane": (
        "An airplane has a long, narrow fuselage with rounded ends.",
        "Two swept wings spread from the middle of the fuselage, each with an engine.",
        "A small tail of two short fins closes the rear, and the cockpit is at the nose.",
    ),
    "hot-air_balloon": (
        "A hot-air balloon is a huge round bulb that narrows downwards.",
        "A small basket hangs on ropes below the bulb.",
        "A vertical band runs down the bulb from its crown to its mouth.",
    ),
    "tree": (
        "A tree has an upright trunk that widens at the ground.",
        "A broad, lobed crown of foliage sits on top of the trunk.",
        "Branches fork out of the trunk and end inside the crown.",
    ),
    "flower": (
        "A flower has a ring of rounded petals around a small disc.",
        "A long thin stem holds the petals up.",
        "A pointed leaf grows from each side of the stem.",
    ),
    "mushroom": (
        "A mushroom has a wide, domed cap like a half circle.",
        "A short thick stalk stands under the middle of the cap.",
        "Round spots are scattered over the cap.",
    ),
    "cactus": (
        "A cactus is a thick upright column with a rounded top.",
        "An arm leaves each side of the column and bends upwards.",
        "It has straight ribs and stands in a tapered pot.",
    ),
    "fish": (
        "A fish has an oval body that is pointed at the mouth.",
        "A forked tail fans out at the rear end of the body.",
        "It has a fin on its back and belly, a round eye and a curved gill behind it.",
    ),
    "butterfly": (
        "A butterfly has a thin body between two pairs of wings.",
        "Each upper wing is large and spread out, and each lower wing is smaller and round.",
        "Two long antennae curl away from the head, and the wings bear a spot.",
    ),
    "cat": (
        "A cat sits with a pear-shaped body below a round face.",
        "Two pointed ears stand on the face, and whiskers spread from the nose.",
        "A long tail curls up beside the body, and two paws are in front.",
    ),
    "turtle": (
        "A turtle carries a high domed shell with a flat underside.",
        "Short legs come out below the shell and a pointed tail behind.",
        "A neck reaches forward to a small round head, and plates mark the shell.",
    ),
    "snail": (
        "A snail has a round shell wound in a spiral.",
        "The shell rests on a long, flat, slimy foot that tapers behind.",
        "Two stalks with an eye at the tip rise from its raised front.",
    ),
    "table": (
        "A table has a wide flat table top.",
        "Four straight legs hold it, one at each corner.",
        "A low apron runs under the edge of the table top between the legs.",
    ),
    "bed": (
        "A bed is long and low, with a mattress lying on a frame.",
        "A tall headboard stands at one end and a lower footboard at the other.",
        "A pillow lies by the headboard and a blanket covers the rest of the mattress.",
    ),
    "floor_lamp": (
        "A floor lamp has a long thin pole that stands upright.",
        "A wide shade, narrower at the top, sits on the upper end of the pole.",
        "A flat rounded foot keeps the pole up, and a pull cord hangs from the shade.",
    ),
    "television": (
        "A television is a wide box-shaped case with a large screen in front.",
        "Two round dials sit one above the other beside the screen.",
        "A forked aerial spreads from the top of the case, and short legs are below it.",
    ),
    "alarm_clock": (
        "An alarm clock has a round case with a clock face.",
        "Two bells shaped like half domes sit on top of the case.",
        "Each hand turns about the middle of the face, and two slanted feet carry the case.",
    ),
    "ladder": (
        "A ladder has two long parallel rails.",
        "Many short rungs join the rails at equal distances.",
        "The rails come a little closer towards the top, and light shows between one rung and the next.",
    ),
    "umbrella": (
        "An umbrella has a wide domed canopy with a scalloped lower edge.",
        "Each rib curves from the tip at the top to the edge of the canopy.",
        "A straight stick hangs from the middle of the canopy and ends in a hook handle.",
    ),
    "kite": (
        "A kite is a tall diamond with four corners.",
        "One spar runs down the diamond and another spar crosses it.",
        "A wavy tail with bows trails from the lowest corner.",
    ),
    "snowman": (
        "A snowman is three balls stacked up, each ball smaller than the one below.",
        "It wears a tall hat with a brim, and a carrot nose points sideways.",
        "A thin stick arm sticks out at each side, and buttons run down the middle ball.",
    ),
    "ice_cream": (
        "An ice cream has a cone that tapers to a point at the bottom.",
        "One or two round scoops sit on the open top of the cone.",
        "Crossing lines cover the cone, and a cherry may top the scoop.",
    ),
    "mug": (
        "A mug is a straight-sided cup with a flat bottom.",
        "A round handle like an ear is joined to one side of the cup.",
        "The rim is an oval at the top, and a band may run around the cup.",
    ),
    "bottle": (
        "A bottle has a tall cylindrical body with sloping shoulders.",
        "The body narrows to a slim neck that is closed by a cap.",
        "A rectangular label is wrapped around the body.",
    ),
    "wine_glass": (
        "A wine glass has a deep rounded bowl that is open at the top.",
        "A long thin stem joins the bowl to the foot.",
        "The foot is a flat oval, and wine fills half of the bowl.",
    ),
    "candle": (
        "A candle is an upright wax stick with a wick on top.",
        "A drop-shaped flame burns above the wick.",
        "The wax stick stands in a shallow dish with a ring handle at its side.",
    ),
    "eyeglasses": (
        "Eyeglasses have two lenses side by side, each in a frame.",
        "A short bridge joins the frames above the nose.",
        "A curved arm reaches out from the far side of each lens.",
    ),
    "key": (
        "A key has a long thin shaft with a ring-shaped bow at one end.",
        "Short square teeth stick out sideways at the other end of the shaft, each tooth of its own length.",
        "A round hole goes through the bow.",
    ),
    "padlock": (
        "A padlock has a heavy square body with rounded corners.",
        "A bent shackle like an upside-down U comes out of the top of the body.",
        "A keyhole, round above and flaring below, is in the middle of the body.",
    ),
    "hammer": (
        "A hammer has a long straight handle.",
        "A heavy metal head sits across the end of the handle.",
        "One side of the head is a blunt face, the other a curved, pointed claw.",
    ),
    "scissors": (
        "Scissors are two long pointed blades that cross.",
        "A pivot holds each blade where they cross.",
        "Each shank ends in a round finger ring below the pivot.",
    ),
    "guitar": (
        "A guitar has a waisted body like a figure eight with a round sound hole.",
        "A long narrow neck leads from the body to the head.",
        "Strings run along the neck, over the sound hole, to a bridge.",
    ),
    "sword": (
        "A sword has a long, straight blade with a pointed tip.",
        "A crossguard lies across the lower end of the blade.",
        "Below it a short grip ends in a round pommel.",
    ),
    "crown": (
        "A crown is a ring-shaped band that carries tall points.",
        "The points form a zigzag, and a ball tips each of them.",
        "Each jewel is set into the band along the bottom.",
    ),
    "sailboat": (
        "A sailboat has a wide hull that is flat above and slanted at both ends.",
        "A tall mast stands in the middle of the hull.",
        "A large triangular mainsail is on one side of the mast and a smaller triangular jib on the other.",
    ),
    "rocket": (
        "A rocket has a tall tube-shaped body that ends in a pointed nose.",
        "A swept triangular fin stands out at each side of its lower end.",
        "A round window is in the body, and a flame shoots out below.",
    ),
    "tractor": (
        "A tractor has a huge rear wheel and a small front wheel.",
        "A box-shaped cab with a window and a flat roof stands above the big wheel.",
        "A long bonnet reaches forward, and an upright exhaust pipe rises from it.",
    ),
    "lighthouse": (
        "A lighthouse is a tall round tower that tapers upwards.",
        "A lantern room with a gallery and a pointed cone sits on top of the tower.",
        "Broad horizontal stripes circle the tower, one stripe above the other, and a door is at its foot.",
    ),
    "windmill": (
        "A windmill has a tower that tapers upwards to a rounded cap.",
        "Four long blades form a cross in front of the cap, each blade on a spar.",
        "The tower has a door at the bottom and a small window above it.",
    ),
    "tent": (
        "A tent has a triangular front with an open flap.",
        "A slanted side stretches back from the ridge of the front.",
        "A tight rope runs from each end of the ridge to the ground.",
    ),
    "bird": (
        "A bird has an oval body with a round head and a pointed beak.",
        "A folded wing lies along the side of the body, and a straight tail sticks out behind.",
        "It stands on two thin legs, and a small eye is in the head.",
    ),
    "rabbit": (
        "A rabbit has two very long upright ears on a round head.",
        "It crouches with an egg-shaped body and a large round haunch.",
        "A fluffy ball of a tail is behind, and each flat foot rests on the ground.",
    ),
    "pineapple": (
        "A pineapple is a large oval fruit.",
        "A tuft of pointed leaves spreads from the top of the fruit, the middle leaf upright.",
        "Slanting crossing lines cover the fruit like a net of diamonds.",
    ),
    "chair": (
        "A chair has a flat seat on four straight legs.",
        "A back of two posts and a rail rises behind the seat.",
        "Each thin upright slat fills the back between one post and the other.",
    ),
    "robot": (
        "A robot has a square head with two round eyes and an antenna.",
        "Its trunk is a large box with a panel in front.",
        "A straight arm hangs at each side of the trunk, and each leg ends in a flat foot.",
    ),
    "teapot": (
        "A teapot has a round belly on a low foot.",
        "A curved spout rises from one side of the belly, and a round handle is on the other.",
        "A domed lid with a knob closes the top of the belly.",
    ),
}
